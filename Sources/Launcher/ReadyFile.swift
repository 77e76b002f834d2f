// The file that tells scripts where a launch serves: there while it serves, and never another's.

internal import Glibc
internal import OutsideText
internal import Synchronization

/// A ready file, held from the start of a launch to its end.
///
/// The launch keeps an open, locked file for its whole life: as `FILE.starting` until it serves, renamed to `FILE` (so
/// it appears with all its content) when it does. The kernel drops the lock with the process, however that ends, so
/// whoever finds the file can tell whether its launch lives: ``init(path:)`` refuses a file whose lock is held and
/// removes one whose lock is free. Only the launch whose file it is removes it.
public final class ReadyFile: Sendable {
    /// Why there can be no ready file: the path, and what to do.
    public struct Problem: Error, Equatable, CustomStringConvertible {
        /// What is wrong, in one line.
        public let description: String
    }

    private let path: String
    private var starting: String { path + ".starting" }
    private let descriptor: Int32
    /// What the file is called now; nil once it is removed.
    private let name: Mutex<String?>

    /// Longest content that is taken for an earlier ready file's, in bytes.
    private static let sizeLimit = 4096

    /// Takes the path: finds out at once whether a file can be written there, and removes one that a launch left behind
    /// which has died.
    ///
    /// - Parameter path: The file; its folder must exist.
    /// - Throws: when another launch holds it, something else is in its place, or the folder takes no file.
    public init(path: String) throws(Problem) {
        self.path = path
        try Self.removeStale(path)
        let starting = path + ".starting"
        descriptor = open(starting, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw Self.problem(path, "can't be written") }
        name = Mutex(starting)
        do throws(Problem) {
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, Self.isSame(descriptor, starting) else {
                throw Self.taken(path)
            }
            // Not only a name but a block of the disk, so that the rest can't fail for want of room.
            guard Self.rewrite(descriptor, "starting\n") else { throw Self.problem(path, "can't be written") }
        } catch {
            // It is the other launch's, or what was begun is of no use.
            if error == Self.taken(path) { name.withLock { $0 = nil } }
            throw error
        }
    }

    deinit {
        remove()
        close(descriptor)
    }

    /// Lets the file appear, with `url` as its only line.
    public func tell(_ url: String) throws(Problem) {
        let isDone = name.withLock { name in
            guard name != nil, Self.rewrite(descriptor, "\(url)\n"), rename(starting, path) == 0 else { return false }
            name = path
            return true
        }
        guard isDone else { throw Self.problem(path, "can't be written") }
    }

    /// Removes the file, if it is still this launch's own.
    public func remove() {
        name.withLock { name in
            if let name, Self.isSame(descriptor, name) { unlink(name) }
            name = nil
        }
    }

    /// Removes a file that an earlier launch wrote and whose lock nobody holds.
    private static func removeStale(_ path: String) throws(Problem) {
        // Non-blocking, so that a pipe in its place does not hold the launch up.
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else {
            if errno == ENOENT { return }
            throw problem(path, "can't be written")
        }
        defer { close(file) }
        var facts = stat()
        guard fstat(file, &facts) == 0 else { throw problem(path, "can't be read") }
        var bytes = [UInt8](repeating: 0, count: sizeLimit)
        let count = facts.st_mode & S_IFMT == S_IFREG ? read(file, &bytes, bytes.count) : -1
        let isURL = ["http://", "https://"].contains { bytes.starts(with: $0.utf8) }
        let isOurs = count == 0 || count > 0 && isURL && count < sizeLimit
        guard isOurs else {
            throw Problem(
                description: "\(path.shown(upTo: 1000)) is there and is no ready file: "
                    + "name another file, or remove it")
        }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else { throw taken(path) }
        if isSame(file, path), unlink(path) != 0 {
            throw problem(path, "is left from an earlier launch and can't be removed")
        }
    }

    private static func isSame(_ descriptor: Int32, _ path: String) -> Bool {
        var (mine, there) = (stat(), stat())
        return fstat(descriptor, &mine) == 0 && lstat(path, &there) == 0 && mine.st_dev == there.st_dev
            && mine.st_ino == there.st_ino
    }

    private static func rewrite(_ descriptor: Int32, _ text: String) -> Bool {
        let bytes = Array(text.utf8)
        return pwrite(descriptor, bytes, bytes.count, 0) == bytes.count
            && ftruncate(descriptor, off_t(bytes.count)) == 0
    }

    private static func problem(_ path: String, _ what: String) -> Problem {
        Problem(description: "the ready file \(path.shown(upTo: 1000)) \(what): \(String(cString: strerror(errno)))")
    }

    private static func taken(_ path: String) -> Problem {
        Problem(
            description: "the ready file \(path.shown(upTo: 1000)) is held by another launch that is running: "
                + "name another file, or end that launch")
    }
}
