// Attention that sees only some blocks of keys, with means in the place of the others, and the weights that choose them.

import CKernels

func sparseAttention(_ level: winnow_level, _ source: inout Source) {
    let (rows, heads, half) = (source.count(1...40), source.count(1...5), source.count(0...1))
    let (dim, size) = (2 * source.count(1...80), 2 * source.count(1...Int(winnow_block_keys_most) / 2))
    let before = source.count(0...400)
    let cache = before + rows
    let blocks = (cache + size - 1) / size
    let hasMeans = source.count(0...1) == 1
    let means = hasMeans ? before / size : 0
    // All rows see this one.
    let common = source.count(0...before / size)
    let seen = source.bytes(blocks)
    let visible = Values<UInt8>(blocks) { $0 == common ? 1 : seen.all[$0] & 1 }
    let queries = source.floats(rows * heads * dim)
    let (keys, values) = (source.floats(cache * dim), source.floats(cache * dim))
    let (meanKeys, meanValues) = (source.floats(means * dim), source.floats(means * dim))
    let narrow = [keys, values, meanKeys, meanValues].map(narrowed)
    func start(_ index: Int, _ wide: Values<Float>) -> UnsafeRawPointer {
        half == 1 ? UnsafeRawPointer(narrow[index].start) : UnsafeRawPointer(wide.start)
    }
    let limits = Values<Int32>(rows) { Int32(before + $0 + 1) }
    let first = Values<Int32>(rows) { _ in 0 }
    // The task has only pointers.
    defer { extendLifetime((queries, keys, values, meanKeys, meanValues)) }
    defer { extendLifetime((narrow, limits, first, visible)) }
    var task = winnow_attention_task(
        queries: queries.start, query_stride: heads * dim, rows: rows, heads: heads, head_dim: dim,
        keys: start(0, keys), values: start(1, values), half: Int32(half), bytes: 0, decoded: 0, first: first.start,
        limit: limits.start, visible: visible.start, block_keys: Int32(size), mean_keys: start(2, meanKeys),
        mean_values: start(3, meanValues), means: means, scale: 0.125, output: nil, output_stride: heads * dim)
    func attend(_ level: winnow_level) -> Values<Float> {
        let output = Values<Float>(rows * heads * dim) { _ in .nan }
        task.output = output.start
        let scratch = Block(winnow_attention_scratch(level, rows, heads, dim))
        winnow_attend(level, &task, scratch.start)
        return output
    }
    near(attend(level), attend(winnow_level_reference), half == 1 ? 0.2 : 1e-3, "sparse attention")
    let step = source.count(1...2)
    let sampled = winnow_sampled_keys(first: Int32(source.count(0...step - 1)), step: Int32(step))
    func weights(_ level: winnow_level) -> Values<Float> {
        let weights = Values<Float>(blocks) { _ in .nan }
        let scratch = Block(winnow_attention_scratch(level, rows, heads, dim))
        let sums = Block(2 * ((rows * heads + 31) / 32 * 32) * blocks * MemoryLayout<Float>.stride)
        winnow_block_weights(
            level, &task, sampled, scratch.start, sums.start.assumingMemoryBound(to: Float.self), weights.start)
        return weights
    }
    let (shares, right) = (weights(level), weights(winnow_level_reference))
    let rowsThatSee = limits.all.count { $0 > sampled.first }
    near(shares, right, half == 1 ? 0.1 : 1e-3, "weights of blocks")
    let whole = Float(rowsThatSee) / Float(rows)
    precondition(abs(shares.all.reduce(0, +) - whole) < 1e-3, "shares that are not the whole")
}
