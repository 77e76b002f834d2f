// Any shapes at any level for the C kernels, in memory that ends where they do: with the address sanitizer a byte too far is
// a fault. Finite values give finite ones, and the same as the reference's, as near as rounding lets them.
//
// The first byte says which kernel, the second its level; the others its shape, and in the end its values.

import CKernels
import Glibc

/// Values that end where their memory does.
final class Values<Value: BitwiseCopyable> {
    let all: UnsafeMutableBufferPointer<Value>
    init(_ count: Int, _ value: (Int) -> Value) {
        // The kernels take 64-byte alignment for granted only where they say so.
        let memory = malloc(max(1, count * MemoryLayout<Value>.stride))
        guard let memory else { preconditionFailure("no memory for \(count) values") }
        all = UnsafeMutableBufferPointer(start: memory.assumingMemoryBound(to: Value.self), count: count)
        for index in 0..<count { all[index] = value(index) }
    }
    deinit { free(all.baseAddress) }
    var start: UnsafeMutablePointer<Value> { all.baseAddress.unsafelyUnwrapped }
}

/// Memory of 64-byte alignment.
final class Block {
    let start: UnsafeMutableRawPointer
    init(_ count: Int) {
        // Whole lines: aligned_alloc asks for it, and so do the kernels.
        guard let memory = aligned_alloc(64, max(64, (count + 63) / 64 * 64)) else {
            preconditionFailure("no memory for \(count) bytes")
        }
        start = memory
    }
    deinit { free(start) }
}

/// Shapes and values, from the input's bytes; zeros once it has ended.
struct Source {
    var rest: UnsafeBufferPointer<UInt8>.SubSequence
    private var last: UInt8 = 1

    init(_ rest: UnsafeBufferPointer<UInt8>.SubSequence) { self.rest = rest }

    mutating func count(_ range: ClosedRange<Int>) -> Int {
        let value = Int(rest.popFirst() ?? 0) | Int(rest.popFirst() ?? 0) << 8
        return range.lowerBound + value % range.count
    }

    private mutating func byte() -> UInt8 {
        last = rest.popFirst() ?? last &* 29 &+ 17
        return last
    }

    mutating func floats(_ count: Int) -> Values<Float> {
        Values(count) { _ in Float(Int8(bitPattern: byte())) / 16 }
    }

    mutating func bytes(_ count: Int) -> Values<UInt8> { Values(count) { _ in byte() } }
}

func near(_ values: Values<Float>, _ expected: Values<Float>, _ bound: Float, _ what: String) {
    let scale = expected.all.reduce(1) { max($0, abs($1)) }
    for (value, right) in zip(values.all, expected.all) {
        precondition(value.isFinite && right.isFinite, "\(what): a value that is no number")
        precondition(abs(value - right) <= bound * scale, "\(what): \(value), the reference has \(right)")
    }
}

private func elementwise(_ kind: UInt8, _ level: winnow_level, _ source: inout Source) {
    let (rows, columns) = (source.count(1...9), source.count(1...300))
    let x = source.floats(rows * columns * 2)
    func both(_ count: Int, _ run: (winnow_level, Values<Float>) -> Void) {
        let (out, right) = (Values<Float>(count) { _ in .nan }, Values<Float>(count) { _ in .nan })
        run(level, out)
        run(winnow_level_reference, right)
        near(out, right, 1e-4, "kernel \(kind)")
    }
    switch kind {
    case 0:
        let weight = source.floats(columns)
        both(rows * columns) { winnow_rms_norm($0, x.start, weight.start, 1e-5, $1.start, rows, columns) }
    case 1:
        both(rows * columns) {
            winnow_silu_multiply($0, x.start, x.start + columns, 2 * columns, $1.start, columns, rows, columns)
        }
    case 2:
        let half = columns
        let (cosines, sines) = (source.floats(half), source.floats(half))
        both(rows * half * 2) {
            winnow_rotate($0, x.start, cosines.start, sines.start, $1.start, half * 2, rows, half * 2)
        }
    case 3:
        let bias = source.floats(columns)
        both(rows * columns) { level, out in
            for index in out.all.indices { out.all[index] = x.all[index] }
            winnow_add_bias(level, out.start, columns, bias.start, rows, columns)
        }
    case 4:
        let narrow = Values<UInt16>(rows * columns) { _ in 0 }
        winnow_narrow_bf16(level, x.start, narrow.start, rows * columns)
        both(rows * columns) { winnow_widen_bf16($0, narrow.start, $1.start, rows * columns) }
        // Of halves only those that are numbers.
        for index in narrow.all.indices where narrow.all[index] & 0x7C00 == 0x7C00 { narrow.all[index] = 0 }
        both(rows * columns) { winnow_widen_f16($0, narrow.start, $1.start, rows * columns) }
    default:
        let limits = Values<Int32>(rows) { Int32(x.all[$0].bitPattern % UInt32(columns + 1)) }
        both(rows * columns) { level, out in
            for index in out.all.indices { out.all[index] = x.all[index] }
            let maxima = Values<Float>(rows) { _ in -1e30 }
            let (sums, corrections) = (Values<Float>(rows) { _ in 0 }, Values<Float>(rows) { _ in 0 })
            winnow_softmax_step(
                level, out.start, columns, rows, columns, 0.5, limits.start, maxima.start, sums.start,
                corrections.start)
        }
    }
}

private func products(_ kind: UInt8, _ level: winnow_level, _ source: inout Source) {
    let (m, n, k) = (source.count(1...(kind == 0 ? 40 : 8)), source.count(1...90), source.count(1...600))
    let transposed = kind != 0 || source.count(0...1) == 1
    let (a, b) = (source.floats(m * k), source.floats(n * k))
    func product(_ level: winnow_level) -> Values<Float> {
        let c = Values<Float>(m * n) { _ in .nan }
        if kind == 0 {
            winnow_sgemm(
                level, transposed ? 1 : 0, m, n, k, 1, a.start, k, b.start, transposed ? k : n, 0, c.start, n)
        } else {
            winnow_sgemm_few(level, m, n, k, 1, a.start, k, b.start, k, 0, c.start, n)
        }
        return c
    }
    near(product(level), product(winnow_level_reference), 1e-4, "product \(kind)")
}

private func packedProduct(_ level: winnow_level, _ type: winnow_packed_type, _ source: inout Source) {
    let (m, outputs, inputs) = (source.count(1...33), source.count(1...150), source.count(1...1200))
    let (x, weights) = (source.floats(m * inputs), source.floats(outputs * inputs))
    let width = winnow_panel_outputs(level)
    let panels = (outputs + width - 1) / width
    let memory = Block(panels * winnow_panel_bytes(level, type, inputs))
    let perOutput = type == winnow_packed_fixed ? winnow_fixed_runs(inputs) : 1
    let scales = Values<Float>(panels * width * perOutput) { _ in 0 }
    let offsets = Values<Int32>(panels * width) { _ in 0 }
    var packed = winnow_packed(
        type: type, outputs: outputs, inputs: inputs, panels: memory.start, scales: scales.start,
        offsets: offsets.start)
    // It has only pointers.
    defer { extendLifetime((memory, scales, offsets)) }
    for panel in 0..<panels {
        winnow_pack_panel(
            level, &packed, panel, weights.start + panel * width * inputs, min(width, outputs - panel * width))
    }
    let c = Values<Float>(m * outputs) { _ in .nan }
    let right = Values<Float>(m * outputs) { _ in 0 }
    for row in 0..<m {
        for output in 0..<outputs {
            var sum: Float = 0
            for input in 0..<inputs { sum += x.all[row * inputs + input] * weights.all[output * inputs + input] }
            right.all[row * outputs + output] = sum
        }
    }
    switch type {
    case winnow_packed_int8:
        let bytes = Block(m * winnow_quantized_bytes(inputs))
        let rowScales = Values<Float>(m) { _ in 0 }
        winnow_quantize_rows(
            level, x.start, inputs, m, inputs, bytes.start.assumingMemoryBound(to: UInt8.self), rowScales.start)
        winnow_packed_product(level, &packed, 0, panels, m, bytes.start, 0, rowScales.start, c.start, outputs, 0)
    case winnow_packed_fixed:
        let values = Block(m * winnow_fixed_values(inputs) * 2)
        let rowScales = Values<Float>(m * winnow_fixed_runs(inputs)) { _ in 0 }
        winnow_fix_rows(
            level, x.start, inputs, 0, m, m, inputs, values.start.assumingMemoryBound(to: Int16.self),
            rowScales.start)
        winnow_packed_product(level, &packed, 0, panels, m, values.start, 0, rowScales.start, c.start, outputs, 0)
    default: winnow_packed_product(level, &packed, 0, panels, m, x.start, inputs, nil, c.start, outputs, 0)
    }
    let largest = Float(inputs) * 64
    for (value, expected) in zip(c.all, right.all) {
        precondition(value.isFinite && abs(value - expected) <= 0.02 * largest + 0.1, "packed: \(value), \(expected)")
    }
    let row = Values<Float>(inputs) { _ in .nan }
    winnow_unpack_output(level, &packed, outputs - 1, row.start)
    precondition(row.all.allSatisfy(\.isFinite), "unpacked: a value that is no number")
}

/// As bf16.
func narrowed(_ wide: Values<Float>) -> Values<UInt16> {
    let narrow = Values<UInt16>(wide.all.count) { _ in 0 }
    winnow_narrow_bf16(winnow_level_reference, wide.start, narrow.start, wide.all.count)
    return narrow
}

private func attention(_ level: winnow_level, _ source: inout Source) {
    let (rows, heads, half) = (source.count(1...20), source.count(1...5), source.count(0...1))
    let (dim, cache) = (2 * source.count(1...80), source.count(1...300))
    let isDecoded = rows == 1 && source.count(0...1) == 1
    let bytes = source.count(0...1)
    let queries = source.floats(rows * heads * dim)
    let (keys, values) = (source.floats(cache * dim), source.floats(cache * dim))
    let (halfKeys, halfValues) = (narrowed(keys), narrowed(values))
    let limits = Values<Int32>(rows) { Int32(1 + ($0 * 37 + cache) % cache) }
    let first = Values<Int32>(rows) { limits.all[$0] > 3 ? Int32($0 % 3) : 0 }
    // A task has only pointers.
    defer { extendLifetime((queries, keys, values, halfKeys, halfValues, limits, first)) }
    func attend(_ level: winnow_level) -> Values<Float> {
        let output = Values<Float>(rows * heads * dim) { _ in .nan }
        var task = winnow_attention_task(
            queries: queries.start, query_stride: heads * dim, rows: rows, heads: heads, head_dim: dim,
            keys: half == 1 ? UnsafeRawPointer(halfKeys.start) : UnsafeRawPointer(keys.start),
            values: half == 1 ? UnsafeRawPointer(halfValues.start) : UnsafeRawPointer(values.start),
            half: Int32(half), bytes: Int32(bytes), decoded: isDecoded ? 1 : 0, first: first.start, limit: limits.start,
            visible: nil, block_keys: 64, mean_keys: nil, mean_values: nil, means: 0, scale: 0.125,
            output: output.start, output_stride: heads * dim)
        let scratch = Block(winnow_attention_scratch(level, rows, heads, dim))
        winnow_attend(level, &task, scratch.start)
        return output
    }
    // In bytes, a key with one large value has no bits left for the others.
    near(attend(level), attend(winnow_level_reference), half == 1 ? bytes == 1 ? 2.5 : 0.2 : 1e-3, "attention")
    let few = min(rows, 8)
    let scores = Values<Float>(few * cache) { _ in .nan }
    winnow_scores(
        level, queries.start, few, dim, half == 1 ? UnsafeRawPointer(halfKeys.start) : UnsafeRawPointer(keys.start),
        Int32(half), cache, 0.125, scores.start)
    precondition(scores.all.allSatisfy(\.isFinite), "scores: a value that is no number")
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzKernels(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeBufferPointer(start: start, count: count)
    guard count > 2 else { return 0 }
    let level = winnow_level(rawValue: UInt32(input[1]) % (winnow_cpu_level().rawValue + 1))
    var source = Source(input.dropFirst(2))
    let kind = input[0] % 14
    switch kind {
    case 0...5: elementwise(kind, level, &source)
    case 6, 7: products(kind - 6, level, &source)
    case 8: packedProduct(level, winnow_packed_int8, &source)
    case 9: packedProduct(level, winnow_packed_half(level), &source)
    case 10: attention(level, &source)
    case 11: sparseAttention(level, &source)
    case 12: halfPanels(level, &source)
    default: bytePanels(level, &source)
    }
    return 0
}
