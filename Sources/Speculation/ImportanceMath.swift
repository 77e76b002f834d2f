// The arithmetic of importance, on plain memory.

/// Pooling and maximum of attention, as pure functions.
package enum ImportanceMath {
    /// Average pooling of one row of attention weights, divided by `divisor`, into the maximum of all rows so far.
    ///
    /// `maximum[i] = max(maximum[i], sum of weights[i - pool / 2 ... i + pool / 2] / divisor / pool)`: tokens beyond
    /// the ends count as 0 and still count in the divisor. The running sum is Float64: over a prompt of any length it
    /// stays closer to the exact value than a Float32 sum of `pool` values does. A result that is not a number stays.
    ///
    /// - Parameters:
    ///   - weights: `[count]`, not negative.
    ///   - divisor: what turns the weights into a softmax, their sum.
    ///   - pool: odd, at least 1.
    ///   - maximum: `[count]`.
    package static func poolAndMaximise(
        _ weights: UnsafeBufferPointer<Float>, divisor: Float, pool: Int,
        into maximum: UnsafeMutableBufferPointer<Float>
    ) {
        precondition(weights.count == maximum.count && pool % 2 == 1)
        let (count, half) = (weights.count, pool / 2)
        let scale = 1 / (Double(divisor) * Double(pool))
        var sum = 0.0
        for index in 0..<min(half, count) { sum += Double(weights[index]) }
        for index in 0..<count {
            if index + half < count { sum += Double(weights[index + half]) }
            if index > half { sum -= Double(weights[index - half - 1]) }
            let value = Float(sum * scale)
            if value > maximum[index] || value.isNaN { maximum[index] = value }
        }
    }
}
