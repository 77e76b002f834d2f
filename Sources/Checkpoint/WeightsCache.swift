// Packed weights, kept for the next start.

package import Compute
internal import Dispatch
internal import Glibc
internal import Synchronization

/// A directory of files with weights in the layout they are multiplied in, so that they are quantised and packed once.
///
/// What can't be read, or is not what it should be, is packed again from the model; what can't be written is not kept.
/// Several processes may use one directory. Files of others are never removed by what this process needs now: if it all
/// finds no room, some of it is packed again next time.
public final class WeightsCache: Sendable {
    /// What the cache came to so far.
    public struct Use: Sendable, Equatable {
        /// Matrices read from the cache.
        public var read = 0
        /// Matrices packed from the model.
        public var packed = 0
        /// Of those packed, the ones that are kept now.
        public var kept = 0
        /// What was wrong, the first time that something was.
        public var problem: String?

        package init(read: Int = 0, packed: Int = 0, kept: Int = 0, problem: String? = nil) {
            self.read = read
            self.packed = packed
            self.kept = kept
            self.problem = problem
        }
    }

    private struct State {
        var use = Use()
        /// Names of files that this process has read or written.
        var own: Set<String> = []
        var pending: [(name: String, key: WeightsKey, memory: Weakly)] = []
        var isFull = false
    }

    /// Weights that are not kept alive.
    private struct Weakly: @unchecked Sendable {  // the memory does not change any more
        weak var owner: AnyObject?
        let layout: String
        let sections: [[UnsafeMutableRawBufferPointer]]

        init(_ memory: WeightMemory) {
            owner = memory.owner
            layout = memory.layout
            sections = memory.sections
        }

        var memory: WeightMemory? { owner.map { WeightMemory(layout: layout, sections: sections, owner: $0) } }
    }

    /// Where the files lie.
    public let directory: String
    /// Weights of a stage below this many bytes are packed faster than it is worth keeping them.
    package let smallest: Int
    private let mostBytes: Int
    private let state = Mutex(State())
    private let queue = DispatchQueue(label: "weights-cache", qos: .utility)

    /// A cache in a directory, which is made when there is something to keep.
    ///
    /// - Parameters:
    ///   - mostBytes: the most that all files may take. Neither do they take more than half of what the disk has for them.
    ///   - smallest: stages of fewer bytes of weights are not kept.
    public init(directory: String, mostBytes: Int = 64 << 30, smallest: Int = 256 << 20) {
        self.directory = directory
        self.mostBytes = mostBytes
        self.smallest = smallest
    }

    /// `$XDG_CACHE_HOME/winnow/weights`, else `$HOME/.cache/winnow/weights`; nil if neither is an absolute path.
    public static func defaultDirectory(environment: [String: String]) -> String? {
        if let cache = environment["XDG_CACHE_HOME"], cache.hasPrefix("/") { return cache + "/winnow/weights" }
        if let home = environment["HOME"], home.hasPrefix("/") { return home + "/.cache/winnow/weights" }
        return nil
    }

    /// What it came to so far.
    public var use: Use { state.withLock { $0.use } }

    private static let ending = ".weights"

    private static func name(_ key: WeightsKey) -> String { Digest.text(Array(key.bytes.prefix(20))) + ending }

    /// Fills memory with the weights of this key, on all threads of the pool. False if that can't be; the memory is
    /// undefined then.
    package func fill(_ memory: WeightMemory, _ key: WeightsKey, pool: ThreadPool) -> Bool {
        let name = Self.name(key)
        let path = "\(directory)/\(name)"
        do throws(CachedWeights.Miss) {
            try CachedWeights.read(path: path, key: key, into: memory, pool: pool)
            state.withLock { state in
                state.use.read += 1
                state.own.insert(name)
            }
            return true
        } catch {
            if case .unusable(let problem) = error {
                report("\(path) \(problem)")
                unlink(path)
            }
            return false
        }
    }

    /// Notes weights that were packed from the model, for ``writeNotes()``. They are kept only if they are still there then.
    package func note(_ memory: WeightMemory, _ key: WeightsKey) {
        state.withLock { state in
            state.use.packed += 1
            state.pending.append((Self.name(key), key, Weakly(memory)))
        }
    }

    /// Writes what was noted, on a thread of its own; ``drain()`` waits for it.
    package func writeNotes() {
        let pending = state.withLock { state in
            defer { state.pending = [] }
            return state.pending
        }
        for (name, key, memory) in pending { queue.async { [self] in write(name, key, memory) } }
    }

    /// Waits until all that is being written is there.
    public func drain() { queue.sync {} }

    private func write(_ name: String, _ key: WeightsKey, _ weights: Weakly) {
        guard let memory = weights.memory, !state.withLock({ $0.isFull }) else { return }
        guard Self.makeDirectory(directory) else {
            return report("cannot make \(directory): \(String(cString: strerror(errno)))")
        }
        guard makeRoom(for: memory.byteCount + CachedWeights.headerBytes) else {
            state.withLock { $0.isFull = true }
            return report("\(directory) has no room for more weights; the rest is packed again at the next start")
        }
        let temporary = "\(directory)/.\(name).\(getpid()).\(UInt32.random(in: 0 ... .max))\(Self.partial)"
        let problem = CachedWeights.write(path: "\(directory)/\(name)", temporary: temporary, key: key, memory)
        if let problem { return report(problem) }
        state.withLock { state in
            state.use.kept += 1
            state.own.insert(name)
        }
    }

    private static let partial = ".partial"

    private func report(_ problem: String) {
        state.withLock { $0.use.problem = $0.use.problem ?? problem }
    }

    /// Removes the least lately used files until `bytes` more find room. False if that is not enough.
    private func makeRoom(for bytes: Int) -> Bool {
        var files: [(name: String, size: Int, used: Int)] = []
        let now = time(nil)
        for name in Self.names(in: directory) {
            var status = stat()
            let path = "\(directory)/\(name)"
            guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { continue }
            if name.hasSuffix(Self.partial) {
                // Of a process that ended as it wrote.
                if now - status.st_mtim.tv_sec > 3600 { unlink(path) }
            } else if name.hasSuffix(Self.ending) {
                files.append((name, Int(status.st_size), status.st_mtim.tv_sec))
            }
        }
        var total = files.reduce(0) { $0 + $1.size }
        var disk = statvfs()
        guard statvfs(directory, &disk) == 0 else { return false }
        let free = Int(clamping: disk.f_bavail) * Int(clamping: disk.f_frsize)
        let most = min(mostBytes, (free + total) / 2)
        let own = state.withLock { $0.own }
        for file in files.sorted(by: { ($0.used, $0.name) < ($1.used, $1.name) }) {
            guard total + bytes > most else { break }
            guard !own.contains(file.name), unlink("\(directory)/\(file.name)") == 0 else { continue }
            total -= file.size
        }
        return total + bytes <= most
    }

    private static func names(in directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                })
        }
        return names
    }

    /// Makes a directory and those it lies in, for this user alone.
    private static func makeDirectory(_ path: String) -> Bool {
        if mkdir(path, 0o700) == 0 || errno == EEXIST { return true }
        guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash > path.startIndex else { return false }
        return makeDirectory(String(path[..<slash])) && (mkdir(path, 0o700) == 0 || errno == EEXIST)
    }
}
