// A value that follows the file it was read from.

internal import Foundation
internal import Synchronization

/// What was last read of a file that changes while the process runs: a list of keys, for instance.
package final class FollowedFile<Value: Sendable, Problem: Error>: Sendable {
    private struct State {
        var value: Value
        var stamp: FileStamp?
    }

    /// Where it lies.
    package let path: String
    private let read: @Sendable (String) throws(Problem) -> Value
    private let state: Mutex<State>

    /// Reads the file.
    ///
    /// - Throws: what is wrong with it.
    package init(_ path: String, _ read: @escaping @Sendable (String) throws(Problem) -> Value) throws(Problem) {
        self.path = path
        self.read = read
        let stamp = FileStamp(path)
        state = Mutex(State(value: try read(path), stamp: stamp))
    }

    /// The newest that could be read.
    package var value: Value { state.withLock { $0.value } }

    /// Reads the file again if it has changed, or `isAsked`; nil if not. While it can't be read the value stays as it was.
    package func reload(isAsked: Bool = false) -> Result<Value, Problem>? {
        let stamp = FileStamp(path)
        let isDue = state.withLock { state in
            defer { state.stamp = stamp }
            return isAsked || state.stamp != stamp
        }
        guard isDue else { return nil }
        let result = Result { () throws(Problem) in try read(path) }
        if case .success(let value) = result { state.withLock { $0.value = value } }
        return result
    }
}

/// By which a file that changed is known: who replaces a file changes its number, and who turns a link the path behind it.
package struct FileStamp: Equatable, Sendable {
    private let path: String
    private let number: UInt
    private let size: Int
    private let seconds: Int
    private let nanoseconds: Int

    /// nil: there is no such file.
    package init?(_ path: String) {
        self.path = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        var status = stat()
        guard stat(self.path, &status) == 0 else { return nil }
        number = UInt(status.st_ino)
        size = Int(status.st_size)
        seconds = status.st_mtim.tv_sec
        nanoseconds = status.st_mtim.tv_nsec
    }
}
