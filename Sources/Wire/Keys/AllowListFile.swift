internal import SecretFiles

/// An allow list that follows its file: what is added and revoked there holds without a restart.
public final class AllowListFile: Sendable {
    private let file: FollowedFile<AllowList, KeyError>

    /// Reads the file.
    ///
    /// - Throws: `KeyError.file` for a list that can't be read.
    public init(path: String) throws(KeyError) {
        file = try FollowedFile(path) { path throws(KeyError) in try AllowList(path: path) }
    }

    /// The newest list that could be read.
    public var list: AllowList { file.value }

    package func mayJoin(_ key: PublicKey) -> Bool { list[key] != nil }

    /// Reads the file again if it has changed; `nil` if not. While it can't be read the list stays as it was.
    package func reload() -> Result<AllowList, KeyError>? { file.reload() }
}
