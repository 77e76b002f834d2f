// The memory that a task of attention works in.

internal import CKernels

/// The memory one task works in; its size does not depend on the length of the cache, but for what sparse attention needs.
final class AttentionScratch: @unchecked Sendable {  // used by one task at a time
    let memory: UnsafeMutableRawPointer
    let first: UnsafeMutablePointer<Int32>
    let limits: UnsafeMutablePointer<Int32>
    /// For each block of keys: sums of each sampled lane, their weight, that of a part of them, whether it is looked at.
    private(set) var sums: UnsafeMutablePointer<Float>?
    private(set) var weights: UnsafeMutablePointer<Float>
    private(set) var partWeights: UnsafeMutablePointer<Float>
    private(set) var visible: UnsafeMutablePointer<UInt8>
    private var (blocks, lanes) = (0, 0)

    init(rows: Int, heads: Int, headDim: Int) {
        memory = .allocate(
            byteCount: winnow_attention_scratch(Kernels.level, rows, heads, headDim), alignment: 64)
        first = .allocate(capacity: rows)
        limits = .allocate(capacity: rows)
        weights = .allocate(capacity: 0)
        partWeights = .allocate(capacity: 0)
        visible = .allocate(capacity: 0)
    }

    /// Makes room for so many blocks of keys and sampled lanes.
    func reserve(blocks: Int, lanes: Int) {
        guard blocks > self.blocks || lanes > self.lanes else { return }
        // Prompts grow by and by.
        self.blocks = max(blocks + blocks / 4, self.blocks)
        self.lanes = max(lanes, self.lanes)
        release()
        let count = 2 * self.blocks * ((self.lanes + 31) / 32 * 32)
        sums = UnsafeMutableRawPointer.allocate(
            byteCount: count * MemoryLayout<Float>.stride, alignment: 64
        ).bindMemory(to: Float.self, capacity: count)
        weights = .allocate(capacity: self.blocks)
        partWeights = .allocate(capacity: self.blocks)
        visible = .allocate(capacity: self.blocks)
    }

    private func release() {
        UnsafeMutableRawPointer(sums)?.deallocate()
        weights.deallocate()
        partWeights.deallocate()
        visible.deallocate()
    }

    deinit {
        release()
        memory.deallocate()
        first.deallocate()
        limits.deallocate()
    }
}
