// A client's key, as its holder has it and as the server knows it.

import Checkpoint

/// A key that a client shows: `wk_ID_SECRET`, 12 hexadecimal digits that name it and 64 that nobody can guess.
///
/// The secret has 256 random bits, so one round of HMAC-SHA-256 keeps it: there is nothing to guess that a slow hash
/// would slow down.
struct APIKey {
    /// What the server's log, list and metrics call it.
    let id: String
    /// All of it, as it is sent.
    let text: String

    /// A new one, from the system's random numbers.
    init() {
        id = Digest.text(Self.random(6))
        text = "wk_\(id)_\(Digest.text(Self.random(32)))"
    }

    /// A key as it was sent; nil for what can't be one.
    init?(_ text: Substring) {
        let bytes = text.utf8
        guard bytes.count == 80, text.hasPrefix("wk_"), bytes.dropFirst(15).first == UInt8(ascii: "_") else {
            return nil
        }
        let id = text.dropFirst(3).prefix(12)
        guard isHex(id), isHex(text.dropFirst(16)) else { return nil }
        self.id = String(id)
        self.text = String(text)
    }

    static func random(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }
}

/// What is kept of a key: enough to know it again, not enough to use it.
struct APIKeyDigest: Equatable, Sendable {
    /// 32 random bytes.
    let salt: [UInt8]
    /// 32 bytes: HMAC-SHA-256 of the key's text under the salt.
    let code: [UInt8]

    init(of key: APIKey) {
        salt = APIKey.random(32)
        code = Digest.authenticationCode(key.text, key: salt)
    }

    /// nil for lengths that are none.
    init?(salt: [UInt8]?, code: [UInt8]?) {
        guard let salt, let code, salt.count == 32, code.count == 32 else { return nil }
        self.salt = salt
        self.code = code
    }

    /// Whether it is that key's; in the same time whatever the key is.
    func matches(_ key: APIKey) -> Bool {
        Digest.areEqual(code, Digest.authenticationCode(key.text, key: salt))
    }
}

/// The bytes that hexadecimal digits in lower case mean; nil for anything else.
func hexBytes(_ text: Substring) -> [UInt8]? {
    guard isHex(text), text.utf8.count.isMultiple(of: 2) else { return nil }
    var rest = text
    var bytes: [UInt8] = []
    while !rest.isEmpty {
        guard let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
        bytes.append(byte)
        rest = rest.dropFirst(2)
    }
    return bytes
}

private func isHex(_ text: Substring) -> Bool {
    text.utf8.allSatisfy { byte in
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
    }
}
