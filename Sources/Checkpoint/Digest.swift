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

    /// Bytes in lower-case hexadecimal.
    package static func text(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef")
        return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }
}
