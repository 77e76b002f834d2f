// A list of keys that follows its file.

import Synchronization

/// The keys of a file: what is added and revoked there holds without a restart.
public final class APIKeyFile: Sendable {
    private struct State {
        var list: APIKeyList
        var stamp: FileStamp?
    }

    /// Where it lies.
    public let path: String
    private let state: Mutex<State>

    /// Reads the file.
    ///
    /// - Throws: what is wrong with it.
    public init(path: String) throws(SecretFileError) {
        self.path = path
        let stamp = FileStamp(path)
        state = Mutex(State(list: try APIKeyList(path: path), stamp: stamp))
    }

    /// The newest keys that could be read.
    public var list: APIKeyList { state.withLock { $0.list } }

    /// Reads the file again if it has changed, or `isAsked`; nil if not. While it can't be read the keys stay as they were.
    func reload(isAsked: Bool) -> Result<APIKeyList, SecretFileError>? {
        let stamp = FileStamp(path)
        let isDue = state.withLock { state in
            defer { state.stamp = stamp }
            return isAsked || state.stamp != stamp
        }
        guard isDue else { return nil }
        let result = Result { () throws(SecretFileError) in try APIKeyList(path: path) }
        if case .success(let list) = result { state.withLock { $0.list = list } }
        return result
    }
}
