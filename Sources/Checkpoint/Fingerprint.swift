/// 32 bytes that stand for a model: its shape and a sample of its weights.
public struct Fingerprint: Hashable, Sendable, CustomStringConvertible {
    /// How many bytes it has.
    public static let byteCount = 32
    /// The bytes, ``byteCount`` of them.
    public let bytes: [UInt8]

    /// Takes bytes, for instance from a message; nil unless there are ``byteCount`` of them.
    public init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }

    /// Lower-case hexadecimal, 64 characters.
    public var description: String { Digest.text(bytes) }
}
