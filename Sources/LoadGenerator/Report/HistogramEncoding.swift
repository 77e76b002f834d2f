// HdrHistogram's buckets and its V2 encoding.

/// Counts of whole microseconds, 0 to 1 h, in buckets of 3 significant digits.
///
/// Buckets and bytes are those of the Java HdrHistogram (`AbstractHistogram.java`: `countsArrayIndex`,
/// `encodeIntoByteBuffer`, `encodeIntoCompressedByteBuffer`, and `ZigZagEncoding.java`; public domain, CC0).
struct MicrosecondHistogram {
    /// The greatest value, one hour.
    static let highest: Int64 = 3_600_000_000
    private static let significantDigits: Int32 = 3
    /// The power of two that is at least 2 * 10^3: values below it have a bucket each.
    private static let subBucketBits = 11

    private var counts: [Int64]
    /// The greatest value recorded, 0 when there is none.
    private(set) var maximum: Int64 = 0

    init() {
        counts = Array(repeating: 0, count: Self.index(of: Self.highest) + 1)
    }

    /// Counts a value, 0...``highest``.
    mutating func record(_ value: Int64) {
        counts[Self.index(of: value)] += 1
        maximum = max(maximum, value)
    }

    /// The bucket of a value. Each doubling past 2048 has 1024 more buckets, twice as wide as those before.
    private static func index(of value: Int64) -> Int {
        let mask: Int64 = 1 << subBucketBits - 1
        let doubling = Int64.bitWidth - (value | mask).leadingZeroBitCount - subBucketBits
        let half = 1 << (subBucketBits - 1)
        return doubling * half + Int(value >> Int64(doubling))
    }

    /// V2 encoding: a header of 40 bytes, then the counts up to the greatest value.
    func encoded() -> [UInt8] {
        var payload: [UInt8] = []
        var index = 0
        let end = Self.index(of: maximum) + 1
        while index < end {
            let run = counts[index..<end].prefix { $0 == 0 }.count
            // A run of zeros is its length, negative; a single one is itself.
            Self.append(zigZag: run > 1 ? -Int64(run) : counts[index], to: &payload)
            index += max(run, 1)
        }
        var bytes: [UInt8] = []
        Self.append(0x1C84_9303 | 0x10 as UInt32, to: &bytes)
        Self.append(UInt32(payload.count), to: &bytes)
        // Normalizing index offset: this histogram is not shifted.
        Self.append(0 as UInt32, to: &bytes)
        Self.append(Self.significantDigits, to: &bytes)
        // Lowest discernible and highest trackable value.
        Self.append(1 as Int64, to: &bytes)
        Self.append(Self.highest, to: &bytes)
        // Ratio of whole numbers to floating-point values.
        Self.append((1.0).bitPattern, to: &bytes)
        return bytes + payload
    }

    /// The V2 encoding in a zlib stream, behind a header of 8 bytes.
    func compressed() -> [UInt8] {
        let stream = ZlibStream.storing(encoded())
        var bytes: [UInt8] = []
        Self.append(0x1C84_9304 | 0x10 as UInt32, to: &bytes)
        Self.append(UInt32(stream.count), to: &bytes)
        return bytes + stream
    }

    private static func append(_ number: some FixedWidthInteger, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
    }

    /// ZigZag, then LEB128 of at most 9 bytes: the ninth has 8 bits of the number, not 7.
    private static func append(zigZag number: Int64, to bytes: inout [UInt8]) {
        var rest = UInt64(bitPattern: (number << 1) ^ (number >> 63))
        for _ in 0..<8 where rest > 0x7F {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }
}

/// A zlib stream (RFC 1950) of stored blocks (RFC 1951, section 3.2.4): valid for every reader, and needs no compressor.
package enum ZlibStream {
    private static let longestBlock = 65_535

    /// The stream that inflates to these bytes.
    package static func storing(_ bytes: [UInt8]) -> [UInt8] {
        // Deflate with a window of 32 KiB, fastest level; the two bytes are a multiple of 31.
        var stream: [UInt8] = [0x78, 0x01]
        var start = 0
        repeat {
            let end = min(start + longestBlock, bytes.count)
            let length = UInt16(end - start)
            stream.append(end == bytes.count ? 1 : 0)
            for number in [length, ~length] {
                stream += [UInt8(truncatingIfNeeded: number), UInt8(truncatingIfNeeded: number >> 8)]
            }
            stream += bytes[start..<end]
            start = end
        } while start < bytes.count
        let sum = adler32(bytes)
        return stream + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: sum >> $0) }
    }

    private static func adler32(_ bytes: [UInt8]) -> UInt32 {
        var low: UInt32 = 1
        var high: UInt32 = 0
        for byte in bytes {
            low = (low + UInt32(byte)) % 65_521
            high = (high + low) % 65_521
        }
        return high << 16 | low
    }
}
