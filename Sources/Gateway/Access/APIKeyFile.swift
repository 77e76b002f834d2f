// A list of keys that follows its file.

public import SecretFiles

/// The keys of a file: what is added and revoked there holds without a restart.
public final class APIKeyFile: Sendable {
    private let file: FollowedFile<APIKeyList, SecretFileError>

    /// Reads the file.
    ///
    /// - Throws: what is wrong with it.
    public init(path: String) throws(SecretFileError) {
        file = try FollowedFile(path) { path throws(SecretFileError) in try APIKeyList(path: path) }
    }

    /// Where it lies.
    public var path: String { file.path }

    /// The newest keys that could be read.
    public var list: APIKeyList { file.value }

    /// Reads the file again if it has changed, or `isAsked`; nil if not. While it can't be read the keys stay as they were.
    func reload(isAsked: Bool) -> Result<APIKeyList, SecretFileError>? { file.reload(isAsked: isAsked) }
}
