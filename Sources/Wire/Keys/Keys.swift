internal import CZeroMQ
internal import Foundation
internal import SecretFiles

/// The public half of a process's key (Curve25519, as CurveZMQ uses it: https://rfc.zeromq.org/spec/26/). It is who the
/// process is.
public struct PublicKey: Hashable, Sendable, CustomStringConvertible {
    /// 32.
    public let bytes: [UInt8]

    /// `nil` unless there are 32 bytes.
    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        self.bytes = Array(bytes)
    }

    /// From 64 hexadecimal digits, as ``description`` writes them; `nil` for anything else.
    public init?(_ text: some StringProtocol) {
        guard let bytes = hexBytes(text) else { return nil }
        self.init(bytes)
    }

    public var description: String { hexText(bytes) }
}

/// A process's key: whoever has its secret is that process.
public struct KeyPair: Sendable, CustomStringConvertible {
    public let publicKey: PublicKey
    /// 32 bytes.
    let secret: [UInt8]

    /// A new one, from the system's random numbers.
    ///
    /// - Throws: `KeyError` where libzmq was built without CURVE.
    public static func random() throws(KeyError) -> KeyPair {
        var texts = ([CChar](repeating: 0, count: 41), [CChar](repeating: 0, count: 41))
        guard zmq_curve_keypair(&texts.0, &texts.1) == 0 else { throw .unsupported }
        guard let secret = bytes(z85: texts.1) else { throw .unsupported }
        return try KeyPair(secret: secret)
    }

    /// - Throws: `KeyError` unless there are 32 bytes, or where libzmq was built without CURVE.
    init(secret: [UInt8]) throws(KeyError) {
        guard secret.count == 32 else { throw .unsupported }
        var text = [CChar](repeating: 0, count: 41)
        var derived = [CChar](repeating: 0, count: 41)
        guard zmq_z85_encode(&text, secret, 32) != nil, zmq_curve_public(&derived, text) == 0,
            let bytes = Self.bytes(z85: derived), let key = PublicKey(bytes)
        else { throw .unsupported }
        self.secret = secret
        publicKey = key
    }

    private static func bytes(z85 text: [CChar]) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 32)
        return zmq_z85_decode(&bytes, text) == nil ? nil : bytes
    }

    var secretText: String { hexText(secret) }

    /// Never the secret.
    public var description: String { "key \(publicKey)" }
}

/// What is wrong with a key, its file or a list of keys.
public enum KeyError: Error, Equatable, CustomStringConvertible {
    /// libzmq has no CURVE.
    case unsupported
    /// A file that can't be used: its path, and why, with the fix.
    case file(String, String)

    public var description: String {
        switch self {
        case .unsupported: "this build of libzmq has no CURVE: install one with libsodium (Debian's has it)"
        case .file(let path, let problem): "\(path): \(problem)"
        }
    }

    init(_ error: SecretFileError) { self = .file(error.place, error.problem) }
}

func hexText(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

private func hexBytes(_ text: some StringProtocol) -> [UInt8]? {
    let digits = text.utf8.map { UInt8(hexDigit: $0) }
    guard digits.count == 64, digits.allSatisfy({ $0 != nil }) else { return nil }
    let values = digits.compactMap(\.self)
    return stride(from: 0, to: 64, by: 2).map { values[$0] << 4 | values[$0 + 1] }
}

extension UInt8 {
    fileprivate init?(hexDigit: UInt8) {
        switch hexDigit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self = hexDigit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self = hexDigit - UInt8(ascii: "a") + 10
        default: return nil
        }
    }
}
