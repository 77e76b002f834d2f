internal import Foundation
internal import Synchronization

/// An allow list that follows its file: what is added and revoked there holds without a restart.
public final class AllowListFile: Sendable {
    private struct State {
        var list: AllowList
        var stamp: Stamp?
    }
    /// By which a file that changed is known. Writers replace it, so its inode changes too.
    private struct Stamp: Equatable {
        var inode: UInt
        var size: Int
        var seconds: Int
        var nanoseconds: Int

        init?(_ path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            inode = UInt(status.st_ino)
            size = Int(status.st_size)
            seconds = status.st_mtim.tv_sec
            nanoseconds = status.st_mtim.tv_nsec
        }
    }

    private let path: String
    private let state: Mutex<State>

    /// - Throws: `KeyError.file` for a list that can't be read.
    public init(path: String) throws(KeyError) {
        self.path = path
        let stamp = Stamp(path)
        state = Mutex(State(list: try AllowList(path: path), stamp: stamp))
    }

    public var list: AllowList { state.withLock { $0.list } }

    package func mayJoin(_ key: PublicKey) -> Bool { state.withLock { $0.list[key] != nil } }

    /// Reads the file again if it has changed; `nil` if not. While it can't be read the list stays as it was.
    package func reload() -> Result<AllowList, KeyError>? {
        let stamp = Stamp(path)
        guard
            state.withLock({ state in
                defer { state.stamp = stamp }
                return state.stamp != stamp
            })
        else { return nil }
        let result = Result { () throws(KeyError) in try AllowList(path: path) }
        if case .success(let list) = result { state.withLock { $0.list = list } }
        return result
    }
}
