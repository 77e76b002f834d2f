// Hashing of byte strings, by libsodium.

internal import CSodium

/// BLAKE2b with 32 bytes of output, the hash behind every fingerprint.
package enum Digest {
    /// The 32-byte BLAKE2b digest of `bytes`, unkeyed.
    package static func blake2b(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        let size = 32
        var digest = [UInt8](repeating: 0, count: size)
        // Fails only for digest sizes outside 16...64.
        _ = crypto_generichash(
            &digest, size, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(bytes.count), nil, 0)
        return digest
    }

    /// The 32 bytes of HMAC-SHA-256 (RFC 2104) of a text under a key of 32 bytes.
    package static func authenticationCode(_ text: String, key: [UInt8]) -> [UInt8] {
        precondition(key.count == Int(crypto_auth_hmacsha256_KEYBYTES), "a key of HMAC has 32 bytes")
        var code = [UInt8](repeating: 0, count: Int(crypto_auth_hmacsha256_BYTES))
        let bytes = Array(text.utf8)
        // Never fails.
        _ = crypto_auth_hmacsha256(&code, bytes, UInt64(bytes.count), key)
        return code
    }

    /// Whether two byte strings of the same length are the same, in a time that says nothing of where they differ.
    package static func areEqual(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        one.count == other.count && sodium_memcmp(one, other, one.count) == 0
    }

    /// Bytes in lower-case hexadecimal.
    package static func text(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef")
        return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }
}
