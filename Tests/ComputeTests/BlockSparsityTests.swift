// Attention to some blocks of keys: the choice, the mask in the kernels, and what does not depend on either.

import CKernels
import Compute
import Testing

@Suite struct BlockSparsityTests {
    private let block = BlockSparsity.keyRows

    private func visible(_ weights: [Float], rows: Range<Int>, _ sparsity: BlockSparsity) -> [Int] {
        weights.withUnsafeBufferPointer { sparsity.visibleBlocks($0, rows: rows) }.indices(where: { $0 })
            .ranges.flatMap(Array.init)
    }

    @Test func theHeaviestBlocksAreSeenUntilTheyHoldEnough() {
        var weights = [Float](repeating: 0.001, count: 40)
        (weights[7], weights[30], weights[21]) = (0.5, 0.3, 0.1)
        let rows = 38 * block..<40 * block
        let sparsity = BlockSparsity(coverage: 0.8, mostKeys: 1, nearKeys: block, exactKeys: 0)
        // The first, the near ones and their own; of the others as many as it takes.
        #expect(visible(weights, rows: rows, sparsity) == [0, 7, 30, 37, 38, 39])
        var more = sparsity
        more.coverage = 0.9
        #expect(visible(weights, rows: rows, more) == [0, 7, 21, 30, 37, 38, 39])
        var few = more
        few.mostKeys = 5 / 40.0
        #expect(visible(weights, rows: rows, few) == [0, 7, 37, 38, 39])
        few.exactKeys = 6 * block
        #expect(visible(weights, rows: rows, few) == [0, 7, 30, 37, 38, 39])
        // Of equal ones no more than allowed.
        #expect(visible([Float](repeating: 1 / 40.0, count: 40), rows: rows, few).count == 6)
    }

    @Test func someRowsAreExact() {
        let sparsity = BlockSparsity(exactKeys: 1024, exactFrom: 4096)
        #expect(sparsity.isExact(rows: 896..<1024) && !sparsity.isExact(rows: 1024..<1152))
        #expect(!sparsity.isExact(rows: 3968..<4096) && sparsity.isExact(rows: 4096..<4100))
        #expect(BlockSparsity(coverage: 1).isExact(rows: 5000..<5128))
    }

    /// How far from the reference a number format may be.
    private func bound(_ precision: Precision, _ exact: Float) -> Float {
        switch precision {
        case .f32: exact
        case .bf16: 2e-2
        case .int8: 6e-2
        }
    }

    /// One KV head's keys, values and some rows' queries, for the kernels themselves.
    private struct Kernel {
        let rows = 33
        let heads = 2
        let headDim = 48
        let before = 767
        let blockKeys = 32
        let precision: Precision
        var queries, keys, values: [Float]
        var first: [Int32]
        var limits: [Int32]
        /// Of blocks of keys and values; empty: none.
        var meanKeys: [Float] = []
        var meanValues: [Float] = []

        private var isHalf: Bool { precision != .f32 }

        init(precision: Precision) {
            self.precision = precision
            let cache = (before + rows) * headDim
            queries = numbers(rows * heads * headDim, seed: 1).map { 4 * $0 }
            (keys, values) = (numbers(cache, seed: 2), numbers(cache, seed: 3))
            let (rows, before) = (rows, before)
            limits = (0..<rows).map { Int32(before + $0 + 1) }
            first = (0..<rows).map { Int32($0 * 3) }
        }

        var blocks: Int { (before + rows + blockKeys - 1) / blockKeys }

        private func withTask(_ body: (inout winnow_attention_task) -> Void) {
            func halves(_ values: [Float]) -> [UInt16] {
                var out = [UInt16](repeating: 0, count: values.count)
                winnow_narrow_bf16(winnow_level_reference, values, &out, values.count)
                return out
            }
            func run(
                _ keys: UnsafeRawPointer, _ values: UnsafeRawPointer, _ meanKeys: UnsafeRawPointer,
                _ meanValues: UnsafeRawPointer
            ) {
                queries.withUnsafeBufferPointer { queries in
                    limits.withUnsafeBufferPointer { limits in
                        first.withUnsafeBufferPointer { first in
                            var task = winnow_attention_task(
                                queries: queries.baseAddress, query_stride: heads * headDim, rows: rows,
                                heads: heads, head_dim: headDim, keys: keys, values: values, half: isHalf ? 1 : 0,
                                bytes: precision == .int8 ? 1 : 0, decoded: 0, first: first.baseAddress,
                                limit: limits.baseAddress, visible: nil,
                                block_keys: Int32(blockKeys), mean_keys: meanKeys, mean_values: meanValues,
                                means: self.meanKeys.count / headDim, scale: 0.3, output: nil,
                                output_stride: heads * headDim)
                            body(&task)
                        }
                    }
                }
            }
            if isHalf {
                run(halves(keys), halves(values), halves(meanKeys), halves(meanValues))
            } else {
                run(keys, values, meanKeys, meanValues)
            }
        }

        private func withScratch(_ level: winnow_level, _ body: (UnsafeMutableRawPointer) -> Void) {
            let scratch = UnsafeMutableRawPointer.allocate(
                byteCount: winnow_attention_scratch(level, rows, heads, headDim), alignment: 64)
            defer { scratch.deallocate() }
            body(scratch)
        }

        func attend(_ level: winnow_level, visible: [UInt8]?) -> [Float] {
            var output = [Float](repeating: .nan, count: queries.count)
            withTask { task in
                withScratch(level) { scratch in
                    output.withUnsafeMutableBufferPointer { output in
                        task.output = output.baseAddress
                        guard let visible else { return winnow_attend(level, &task, scratch) }
                        visible.withUnsafeBufferPointer {
                            task.visible = $0.baseAddress
                            winnow_attend(level, &task, scratch)
                        }
                    }
                }
            }
            return output
        }

        func weights(_ level: winnow_level, _ sampled: winnow_sampled_keys) -> [Float] {
            var weights = [Float](repeating: .nan, count: blocks)
            let lanes = (rows * heads + 31) / 32 * 32
            let sums = UnsafeMutableRawPointer.allocate(byteCount: 8 * lanes * blocks, alignment: 64)
            defer { sums.deallocate() }
            withTask { task in
                withScratch(level) { scratch in
                    winnow_block_weights(
                        level, &task, sampled, scratch, sums.assumingMemoryBound(to: Float.self), &weights)
                }
            }
            return weights
        }
    }

    private var levels: [winnow_level] { [winnow_level_reference] + fastLevels }

    @Test(arguments: Precision.allCases) func aMaskThatHidesNothingChangesNoBit(precision: Precision) {
        let kernel = Kernel(precision: precision)
        for level in levels {
            let all = kernel.attend(level, visible: [UInt8](repeating: 1, count: kernel.blocks))
            #expect(all == kernel.attend(level, visible: nil))
        }
    }

    /// Hidden keys and values are not looked at, whatever they are, and the rest is what the plain reference makes of it.
    @Test(arguments: Precision.allCases) func aMaskHidesBlocks(precision: Precision) {
        var kernel = Kernel(precision: precision)
        // All lengths of runs; the rows' own blocks are seen.
        var visible = (0..<kernel.blocks).map { UInt8([1, 0, 0, 1, 1, 0, 1, 1, 1, 0, 1][$0 % 11]) }
        for block in (kernel.before / kernel.blockKeys)..<kernel.blocks { visible[block] = 1 }
        let reference = kernel.attend(winnow_level_reference, visible: visible)
        #expect(reference != kernel.attend(winnow_level_reference, visible: nil))
        let results = levels.map { kernel.attend($0, visible: visible) }
        for result in results { #expect(worst(result, reference) < bound(precision, 1e-5)) }
        for (block, isVisible) in visible.enumerated() where isVisible == 0 {
            for index in block * kernel.blockKeys * kernel.headDim..<(block + 1) * kernel.blockKeys * kernel.headDim {
                (kernel.keys[index], kernel.values[index]) = (.nan, .nan)
            }
        }
        for (level, result) in zip(levels, results) { #expect(kernel.attend(level, visible: visible) == result) }
    }

    /// Where all keys of a hidden block are alike, its mean is as good as the block.
    @Test(arguments: Precision.allCases) func aHiddenBlockCountsAsItsMean(precision: Precision) {
        var kernel = Kernel(precision: precision)
        kernel.first = kernel.first.map { _ in 0 }
        let (dim, size) = (kernel.headDim, kernel.blockKeys)
        let means = kernel.before / size
        let visible = (0..<kernel.blocks).map { UInt8($0 >= means || $0 % 3 == 1 ? 1 : 0) }
        for block in 0..<means {
            if visible[block] == 0 {
                for key in block * size..<(block + 1) * size {
                    for index in 0..<dim { kernel.keys[key * dim + index] = kernel.keys[block * size * dim + index] }
                }
            }
            for index in 0..<dim {
                func mean(_ values: [Float]) -> Float {
                    (block * size..<(block + 1) * size).reduce(0) { $0 + values[$1 * dim + index] } / Float(size)
                }
                // What the means of blocks that are seen hold makes no difference.
                kernel.meanKeys.append(visible[block] == 0 ? mean(kernel.keys) : .nan)
                kernel.meanValues.append(visible[block] == 0 ? mean(kernel.values) : 3)
            }
        }
        let reference = kernel.attend(winnow_level_reference, visible: nil)
        for level in levels {
            #expect(worst(kernel.attend(level, visible: visible), reference) < bound(precision, 2e-5))
        }
        kernel.meanKeys = []
        #expect(worst(kernel.attend(winnow_level_reference, visible: visible), reference) > 5e-2)
    }

    @Test(arguments: Precision.allCases, [(0, 1), (0, 2), (1, 2), (3, 4)])
    func blockWeightsAreSharesOfTheAttention(precision: Precision, keys: (first: Int32, step: Int32)) {
        let kernel = Kernel(precision: precision)
        let sampled = winnow_sampled_keys(first: keys.first, step: keys.step)
        let reference = kernel.weights(winnow_level_reference, sampled)
        #expect(abs(reference.reduce(0, +) - 1) < 1e-5)
        #expect((reference.max() ?? 0) > 1.5 * (reference.dropFirst(8).dropLast(3).min() ?? 1))
        for level in fastLevels {
            #expect(worst(kernel.weights(level, sampled), reference) < (precision != .f32 ? 1e-3 : 1e-5))
        }
    }

    /// Keys that are not sampled are not looked at, and a row that sees no sampled one takes no part.
    @Test(arguments: Precision.allCases) func onlySampledKeysCount(precision: Precision) {
        var kernel = Kernel(precision: precision)
        let sampled = winnow_sampled_keys(first: 1, step: 2)
        let all = levels.map { kernel.weights($0, sampled) }
        for key in stride(from: 0, to: kernel.keys.count / kernel.headDim, by: 2) {
            for index in 0..<kernel.headDim { kernel.keys[key * kernel.headDim + index] = .nan }
        }
        for (level, weights) in zip(levels, all) { #expect(kernel.weights(level, sampled) == weights) }
        (kernel.first[0], kernel.limits[0]) = (0, 1)
        let without = kernel.weights(winnow_level_reference, sampled)
        #expect(abs(without.reduce(0, +) - Float(kernel.rows - 1) / Float(kernel.rows)) < 1e-5)
        for level in fastLevels {
            #expect(worst(kernel.weights(level, sampled), without) < (precision != .f32 ? 1e-3 : 1e-5))
        }
    }

    /// A cache of one layer, and the attention of its last rows.
    private struct Layer {
        let heads = 8
        let kvHeads = 2
        let headDim = 32
        let count = 1400
        let queries: Matrix
        let keys, values: KVRows
        let precision: Precision

        private var isHalf: Bool { precision != .f32 }

        /// All rows look for the key of cache row `sought`, and the others are nothing to them.
        init(precision: Precision, sought: Int) {
            self.precision = precision
            queries = Matrix(rows: count, columns: heads * headDim)
            queries.withUnsafeMutableBufferPointer { $0.update(repeating: 3) }
            keys = KVRows(rows: kvHeads * count, columns: headDim, isHalf: precision != .f32)
            values = KVRows(rows: kvHeads * count, columns: headDim, isHalf: precision != .f32)
            keys.store(filled(kvHeads * count, headDim, 2, 0), at: 0)
            values.store(filled(kvHeads * count, headDim, 3, 3), at: 0)
            let found = Matrix(rows: 1, columns: headDim)
            found.withUnsafeMutableBufferPointer { $0.update(repeating: 0.6) }
            for head in 0..<kvHeads { keys.store(found, at: head * count + sought) }
        }

        init(precision: Precision, changedFrom: Int = .max) {
            self.precision = precision
            let isHalf = precision != .f32
            queries = filled(count, heads * headDim, 1, 3)
            keys = KVRows(rows: kvHeads * count, columns: headDim, isHalf: isHalf)
            values = KVRows(rows: kvHeads * count, columns: headDim, isHalf: isHalf)
            keys.store(filled(kvHeads * count, headDim, 2, 3), at: 0)
            values.store(filled(kvHeads * count, headDim, 3, 3), at: 0)
            guard changedFrom < count else { return }
            let other = filled(count - changedFrom, headDim, 4, 3)
            for head in 0..<kvHeads {
                keys.store(other, at: head * count + changedFrom)
                values.store(other, at: head * count + changedFrom)
            }
        }

        /// Attention of all rows, a call for each of `calls`.
        func attend(_ calls: [Range<Int>], _ sparsity: BlockSparsity?, threads: Int = 2) throws -> [Float] {
            let pool = ThreadPool(threads: threads, name: "sparse")
            let attention = Attention(
                heads: heads, kvHeads: kvHeads, headDim: headDim, precision: precision)
            let output = Matrix(rows: count, columns: heads * headDim)
            let means = try KeyMeans(capacity: count, kvHeads: kvHeads, headDim: headDim, isHalf: isHalf)
            for rows in calls {
                let segment = AttentionSegment(
                    keys: keys, values: values, capacity: count, firstCacheRow: rows.lowerBound, rows: rows,
                    sparsity: sparsity, means: means)
                attention.attend(queries, segments: [segment], into: output, pool: pool)
            }
            return output.withUnsafeBufferPointer(Array.init)
        }
    }

    private static let sparse = BlockSparsity(coverage: 0.9, mostKeys: 0.25, nearKeys: 64, exactKeys: 256)

    @Test(arguments: Precision.allCases) func allKeysNearIsExact(precision: Precision) throws {
        let layer = Layer(precision: precision)
        let exact = try layer.attend([0..<layer.count], nil)
        #expect((try layer.attend([0..<layer.count], BlockSparsity(nearKeys: 1 << 20, exactKeys: 0)) == exact) as Bool)
        #expect((try layer.attend([0..<layer.count], Self.sparse) != exact) as Bool)
        // The first 256 rows have no more keys than are looked at anyway; those of the last block of queries are told to.
        var sparsity = Self.sparse
        sparsity.exactFrom = 1280
        let ended = try layer.attend([0..<layer.count], sparsity)
        let width = layer.heads * layer.headDim
        #expect((ended[..<(256 * width)] == exact[..<(256 * width)]) as Bool)
        #expect((ended[(1280 * width)...] == exact[(1280 * width)...]) as Bool)
        #expect((ended[(300 * width)..<(1280 * width)] != exact[(300 * width)..<(1280 * width)]) as Bool)
    }

    @Test(arguments: Precision.allCases) func cutsBetweenBlocksOfQueriesChangeNoBit(precision: Precision) throws {
        let layer = Layer(precision: precision)
        let whole = try layer.attend([0..<layer.count], Self.sparse)
        #expect(
            (try layer.attend([0..<512, 512..<640, 640..<1280, 1280..<layer.count], Self.sparse, threads: 1) == whole)
                as Bool)
        // Rows that were taken back and come again.
        #expect((try layer.attend([0..<640, 256..<640, 640..<layer.count], Self.sparse) == whole) as Bool)
    }

    @Test(arguments: Precision.allCases) func laterKeysAreNotLookedAt(precision: Precision) throws {
        let changed = 1100
        let (one, other) = (Layer(precision: precision), Layer(precision: precision, changedFrom: changed))
        let width = one.heads * one.headDim
        // Rows of a block of queries are sampled for the block: it is the block that must not see later keys.
        let seen = changed / BlockSparsity.queryRows * BlockSparsity.queryRows * width
        let (before, after) = (
            try one.attend([0..<one.count], Self.sparse), try other.attend([0..<one.count], Self.sparse)
        )
        #expect((before[..<seen] == after[..<seen]) as Bool)
        #expect((before != after) as Bool)
    }

    /// Half of the sampled rows look at the even keys and half at the odd ones, so that no key can be missed.
    @Test(arguments: Precision.allCases, [130, 131])
    func theBlockOfAKeyThatMattersIsSeen(precision: Precision, key: Int) throws {
        let layer = Layer(precision: precision, sought: key)
        // From there on there is room for a block besides those that are always seen.
        let first = 1024 * layer.heads * layer.headDim
        func last(_ sparsity: BlockSparsity?) throws -> [Float] {
            Array(try layer.attend([0..<layer.count], sparsity)[first...])
        }
        let exact = try last(nil)
        #expect(worst(try last(Self.sparse), exact) < bound(precision, 1e-4))
        var without = Self.sparse
        without.mostKeys = 0.1
        #expect(worst(try last(without), exact) > 0.5)
    }
}

/// Numbers between `-factor` and `factor`.
private func filled(_ rows: Int, _ columns: Int, _ seed: UInt64, _ factor: Float) -> Matrix {
    let matrix = Matrix(rows: rows, columns: columns)
    let values = numbers(matrix.count, seed: seed)
    matrix.withUnsafeMutableBufferPointer { for index in $0.indices { $0[index] = factor * values[index] } }
    return matrix
}
