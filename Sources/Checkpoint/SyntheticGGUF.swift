/// Synthetic models as GGUF files.
enum SyntheticGGUF {
    /// The metadata key by which such a file is known, a boolean.
    static let mark = "winnow.synthetic"
}
