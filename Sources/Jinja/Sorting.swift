// Python's sorted: stable, and an error where two values have no order.

enum Sorting {
    /// The indices of `keys` in ascending order.
    static func order(_ keys: [Value], reverse: Bool = false, _ budget: Budget) throws(TemplateError) -> [Int] {
        var order = Array(keys.indices)
        // Equal ones keep their order in both directions, as in Python.
        if reverse { order.reverse() }
        order = try merged(order[...], keys, budget)
        if reverse { order.reverse() }
        return order
    }

    private static func merged(_ order: ArraySlice<Int>, _ keys: [Value], _ budget: Budget) throws(TemplateError)
        -> [Int]
    {
        guard order.count > 1 else { return Array(order) }
        let middle = order.startIndex + order.count / 2
        let left = try merged(order[..<middle], keys, budget)
        let right = try merged(order[middle...], keys, budget)
        var result: [Int] = []
        result.reserveCapacity(order.count)
        var (first, second) = (0, 0)
        while first < left.count, second < right.count {
            if try keys[right[second]].order(keys[left[first]], "<", budget) == -1 {
                result.append(right[second])
                second += 1
            } else {
                result.append(left[first])
                first += 1
            }
        }
        result += left[first...]
        result += right[second...]
        return result
    }
}
