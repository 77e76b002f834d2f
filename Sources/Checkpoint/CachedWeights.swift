// One file of the weights' cache.

internal import Compute
internal import Glibc
internal import Synchronization

/// A file of packed weights: 4096 bytes of header, then all sections of a ``WeightMemory``, one behind the other.
///
/// The header: 16 bytes that tell the format, the key, then a digest of the key and of all that follows. Nothing in it says
/// how long something is: whoever reads knows, and takes no other length. In the machine's byte order: a cache does not
/// travel.
enum CachedWeights {
    static let headerBytes = 4096
    private static let mark = Array("winnow-weights 1".utf8)
    /// Bytes read or written in one go.
    private static let chunk = 4 << 20

    /// Why a file was not taken.
    enum Miss: Error, Equatable {
        /// There is none.
        case absent
        /// It is not what was written, or not ours; what is wrong.
        case unusable(String)
    }

    /// Fills memory from a file, on all threads of the pool. After a miss the memory is undefined.
    static func read(
        path: String, key: WeightsKey, into memory: WeightMemory, pool: ThreadPool
    ) throws(Miss) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw errno == ENOENT ? .absent : .unusable("cannot be opened: \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw .unusable("is no regular file")
        }
        // Whoever may write to it may choose what the model says.
        guard status.st_uid == geteuid(), status.st_mode & (S_IWGRP | S_IWOTH) == 0 else {
            throw .unusable("belongs to another user, or others may write to it")
        }
        guard status.st_size == headerBytes + memory.byteCount else {
            throw .unusable("has \(status.st_size) bytes, expected \(headerBytes + memory.byteCount)")
        }
        var header = [UInt8](repeating: 0, count: headerBytes)
        let hasHeader = header.withUnsafeMutableBytes { transfer($0, at: 0) { pread(descriptor, $0, $1, $2) } }
        guard hasHeader, header.starts(with: mark), header[mark.count...].starts(with: key.bytes) else {
            throw .unusable("was written for other weights")
        }
        let parts = parts(of: memory)
        let sums = Mutex([WeightSum](repeating: WeightSum(), count: memory.sections.count))
        let isWhole = Mutex(true)
        pool.parallelFor(parts.count) { index in
            let part = parts[index]
            guard transfer(part.bytes, at: part.fileOffset, with: { pread(descriptor, $0, $1, $2) }) else {
                return isWhole.withLock { $0 = false }
            }
            var sum = WeightSum()
            sum.add(UnsafeRawBufferPointer(part.bytes), at: part.offset)
            sums.withLock { $0[part.section].add(sum) }
        }
        guard isWhole.withLock({ $0 }) else { throw .unusable("cannot be read to its end") }
        let digest = digest(key, sums.withLock { $0 })
        guard header[(mark.count + key.bytes.count)...].starts(with: digest) else {
            throw .unusable("is damaged: its sum is not what it was")
        }
        // The least lately used go first when room is needed.
        futimens(descriptor, nil)
    }

    /// Writes memory to a new file, which gets its name when it is complete. Returns what went wrong.
    static func write(path: String, temporary: String, key: WeightsKey, _ memory: WeightMemory) -> String? {
        func failure(_ what: String) -> String { "\(what): \(String(cString: strerror(errno)))" }
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { return failure("cannot create \(temporary)") }
        defer { close(descriptor) }
        var sums = [WeightSum](repeating: WeightSum(), count: memory.sections.count)
        var isWritten = true
        for part in parts(of: memory) where isWritten {
            sums[part.section].add(WeightSum(of: part))
            isWritten = transfer(part.bytes, at: part.fileOffset) { pwrite(descriptor, $0, $1, $2) }
        }
        var header = mark + key.bytes + digest(key, sums)
        header += [UInt8](repeating: 0, count: headerBytes - header.count)
        isWritten =
            isWritten && header.withUnsafeMutableBytes { transfer($0, at: 0) { pwrite(descriptor, $0, $1, $2) } }
        guard isWritten, rename(temporary, path) == 0 else {
            let problem = failure("cannot write \(path)")
            unlink(temporary)
            return problem
        }
        return nil
    }

    /// A run of bytes of a section, in memory and in the file.
    fileprivate struct Part: @unchecked Sendable {  // lent by a WeightMemory that is held meanwhile
        let section: Int
        let bytes: UnsafeMutableRawBufferPointer
        /// In the section.
        let offset: Int
        let fileOffset: Int
    }

    private static func parts(of memory: WeightMemory) -> [Part] {
        var parts: [Part] = []
        var start = headerBytes
        for (section, pieces) in memory.sections.enumerated() {
            var offset = 0
            for piece in pieces {
                for first in stride(from: 0, to: piece.count, by: chunk) {
                    let bytes = UnsafeMutableRawBufferPointer(rebasing: piece[first..<min(piece.count, first + chunk)])
                    parts.append(Part(section: section, bytes: bytes, offset: offset, fileOffset: start + offset))
                    offset += bytes.count
                }
            }
            start += offset
        }
        return parts
    }

    private static func digest(_ key: WeightsKey, _ sums: [WeightSum]) -> [UInt8] {
        (key.bytes + sums.flatMap(\.bytes)).withUnsafeBytes { Digest.blake2b($0) }
    }

    /// Reads or writes all of the bytes; false after an error, and at the file's end.
    private static func transfer(
        _ bytes: UnsafeMutableRawBufferPointer, at offset: Int,
        with call: (UnsafeMutableRawPointer, Int, off_t) -> Int
    ) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        var done = 0
        while done < bytes.count {
            let count = call(base + done, bytes.count - done, off_t(offset + done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            done += count
        }
        return true
    }
}

extension WeightSum {
    fileprivate init(of part: CachedWeights.Part) {
        self.init()
        add(UnsafeRawBufferPointer(part.bytes), at: part.offset)
    }
}

/// What weights a file of the cache is for: a digest of all that decides on their bytes.
package struct WeightsKey: Hashable, Sendable {
    /// 32 bytes.
    package let bytes: [UInt8]

    /// Takes all that decides, in words.
    package init(_ words: [String]) {
        bytes = Array(words.map { "\($0.utf8.count) \($0)\n" }.joined().utf8).withUnsafeBytes { Digest.blake2b($0) }
    }
}

extension Checkpoint {
    /// The key of these tensors, packed one below the other.
    ///
    /// The fingerprint does not notice every changed byte, so size and time of the tensors' files count too.
    ///
    /// - Parameters:
    ///   - factors: what their columns are multiplied with, if anything.
    ///   - layout: how they are packed.
    package func weightsKey(
        _ tensors: [TensorLayout.Tensor], factors: [Float]?, layout: String
    ) throws(CheckpointError) -> WeightsKey {
        var words = [layout, "\(try fingerprint())"]
        for tensor in tensors {
            let file = try stored(tensor).file
            words.append("\(tensor.name) \(tensor.shape) \(file.count) \(file.modified)")
        }
        if let factors { words.append("\(Digest.text(factors.withUnsafeBytes { Digest.blake2b($0) }))") }
        return WeightsKey(words)
    }
}
