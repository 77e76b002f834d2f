// The histogram log, read back by a decoder written from the format alone.

import Foundation
import LoadGenerator
import Testing

private struct Malformed: Error {}

/// Reads bytes in order.
private struct ByteReader {
    var bytes: ArraySlice<UInt8>

    mutating func take(_ count: Int) throws -> ArraySlice<UInt8> {
        guard count >= 0, bytes.count >= count else { throw Malformed() }
        defer { bytes = bytes.dropFirst(count) }
        return bytes.prefix(count)
    }

    mutating func bigEndian(_ count: Int) throws -> UInt64 { try take(count).reduce(0) { $0 << 8 | UInt64($1) } }
    mutating func littleEndian(_ count: Int) throws -> UInt64 {
        try take(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    mutating func zigZag() throws -> Int64 {
        var value: UInt64 = 0
        for shift in stride(from: 0, through: 56, by: 7) {
            let byte = UInt64(try bigEndian(1))
            value |= (shift == 56 ? byte : byte & 0x7F) << UInt64(shift)
            if byte < 0x80 || shift == 56 { break }
        }
        return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }
}

/// Inflates a zlib stream of stored blocks, and checks its sum.
private func inflated(_ stream: [UInt8]) throws -> [UInt8] {
    var reader = ByteReader(bytes: stream[...])
    guard try reader.bigEndian(2) % 31 == 0, stream[0] == 0x78 else { throw Malformed() }
    var output: [UInt8] = []
    while true {
        let header = try reader.bigEndian(1)
        let length = try reader.littleEndian(2)
        guard header <= 1, try reader.littleEndian(2) == length ^ 0xFFFF else { throw Malformed() }
        output += try reader.take(Int(length))
        if header == 1 { break }
    }
    let sums = output.reduce(into: (low: 1, high: 0) as (low: UInt64, high: UInt64)) { sums, byte in
        sums.low = (sums.low + UInt64(byte)) % 65_521
        sums.high = (sums.high + sums.low) % 65_521
    }
    guard try reader.bigEndian(4) == sums.high << 16 | sums.low, reader.bytes.isEmpty else { throw Malformed() }
    return output
}

/// A line of a log, decoded.
private struct Interval {
    var tag: String?
    var numbers: [String]
    /// Ascending lowest values of the buckets that are not empty, in microseconds, with the buckets' widths and counts.
    var buckets: [(value: Int, width: Int, count: Int)] = []
    var count: Int { buckets.reduce(0) { $0 + $1.count } }

    init(_ line: Substring) throws {
        var fields = line.split(separator: ",").map(String.init)
        if fields.first?.hasPrefix("Tag=") == true { tag = String(fields.removeFirst().dropFirst(4)) }
        guard fields.count == 4, let data = Data(base64Encoded: fields[3]) else { throw Malformed() }
        numbers = Array(fields.dropLast())
        var outer = ByteReader(bytes: Array(data)[...])
        guard try outer.bigEndian(4) == 0x1C84_9314, try outer.bigEndian(4) == outer.bytes.count else {
            throw Malformed()
        }
        var reader = ByteReader(bytes: try inflated(Array(outer.bytes))[...])
        guard try reader.bigEndian(4) == 0x1C84_9313 else { throw Malformed() }
        let length = try reader.bigEndian(4)
        #expect(try reader.bigEndian(4) == 0)
        #expect(try reader.bigEndian(4) == 3)
        #expect(try reader.bigEndian(8) == 1)
        #expect(try reader.bigEndian(8) == 3_600_000_000)
        #expect(Double(bitPattern: try reader.bigEndian(8)) == 1)
        guard length == reader.bytes.count else { throw Malformed() }
        var index = 0
        while !reader.bytes.isEmpty {
            let number = Int(try reader.zigZag())
            if number < 0 {
                index -= number
                continue
            }
            // 2048 buckets of width 1, then 1024 of each doubled width.
            let width = index < 2048 ? 1 : 1 << (index / 1024 - 1)
            let value = index < 2048 ? index : (index % 1024 + 1024) * width
            if number > 0 { buckets.append((value, width, number)) }
            index += 1
        }
    }

    /// By nearest rank, the middle of its bucket.
    func quantile(_ share: Double) -> Double {
        var rank = max(Int((share * Double(count)).rounded(.up)), 1)
        for bucket in buckets {
            rank -= bucket.count
            if rank <= 0 { return Double(bucket.value) + Double(bucket.width - 1) / 2 }
        }
        return .infinity
    }
}

@Suite("histogram logs")
struct HistogramLogTests {
    private let start = Date(timeIntervalSince1970: 1_700_000_000)

    private func intervals(_ log: HistogramLog) throws -> [Interval] {
        try log.text.split(separator: "\n").filter { !$0.hasPrefix("#") && !$0.hasPrefix("\"") }.map(Interval.init)
    }

    /// The line was read by Python's hdrhistogram 0.10.8, which found these values.
    @Test("a log that HdrHistogram's own reader took")
    func known() {
        var log = HistogramLog(startedAt: start, comments: ["one", "two\nlines"])
        log.add(
            tag: "ttft", start: .zero, length: .seconds(10),
            values: [.seconds(2), .microseconds(1), .microseconds(3), .milliseconds(5), .microseconds(1)])
        #expect(
            log.text == """
                # one
                # two
                # lines
                # Values are in microseconds, Interval_Max is in milliseconds.
                #[Histogram log format version 1.3]
                #[BaseTime: 1700000000.000 (seconds since epoch)]
                #[StartTime: 1700000000.000 (seconds since epoch), 2023-11-14T22:13:20Z]
                "StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"
                Tag=ttft,0.000,10.000,2000.000,\
                HISTFAAAAD54AQEzAMz/HISTEwAAAAsAAAAAAAAAAwAAAAAAAAABAAAAANaTpAA/8AAAAAAAAAAEAAK7MwL7igECkKoHEA==

                """)
        #expect(log.clampedCount == 0)
    }

    @Test("every value falls in a bucket no wider than a thousandth of it")
    func buckets() throws {
        var log = HistogramLog(startedAt: start)
        var values = Array(0...5000)
        for power in 12...31 { values += (-2...2).map { 1 << power + $0 } + [3 << (power - 2) + 1] }
        values += [3_599_999_999, 3_600_000_000]
        for value in values {
            log.add(tag: "x", start: .zero, length: .zero, values: [.microseconds(value)])
        }
        let read = try intervals(log)
        #expect(read.count == values.count)
        for (value, interval) in zip(values, read) {
            let bucket = try #require(interval.buckets.first)
            #expect(interval.count == 1)
            #expect((bucket.value..<bucket.value + bucket.width).contains(value))
            #expect(bucket.width == 1 || bucket.width * 1000 <= value)
        }
    }

    @Test("quantiles and counts of many values come back, within a thousandth")
    func quantiles() throws {
        var generator = SplitMix64(seed: 1)
        let values = (0..<30_000).map { _ in
            Duration.microseconds(Int64(exp(Double(generator.next() >> 11) * 0x1p-53 * 22)))
        }
        var log = HistogramLog(startedAt: start)
        log.add(tag: "ttft", start: .milliseconds(1500), length: .microseconds(10_000_400), values: values)
        let interval = try #require(try intervals(log).first)
        #expect(interval.tag == "ttft")
        #expect(interval.numbers.prefix(2) == ["1.500", "10.000"])
        #expect(interval.count == 30_000)
        let exact = values.map(\.seconds).sorted()
        #expect(interval.numbers[2] == String(format: "%.3f", (exact.last ?? 0) * 1e3))
        for share in [0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 1] {
            let rank = max(Int((share * 30_000).rounded(.up)), 1)
            #expect(abs(interval.quantile(share) - exact[rank - 1] * 1e6) <= exact[rank - 1] * 1e3)
        }
    }

    @Test("no values, and values out of range")
    func edges() throws {
        var log = HistogramLog(startedAt: start)
        log.add(tag: "none", start: .zero, length: .seconds(1), values: [])
        log.add(
            tag: "", start: .seconds(-1), length: .seconds(-1),
            values: [.seconds(-5), .nanoseconds(499), .nanoseconds(500), .seconds(3601), .seconds(Int64.max)])
        let read = try intervals(log)
        #expect(read[0].count == 0)
        #expect(read[0].numbers == ["0.000", "1.000", "0.000"])
        #expect(read[1].tag == nil)
        #expect(read[1].numbers == ["0.000", "0.000", "3600000.000"])
        #expect(read[1].buckets.map(\.count) == [2, 1, 2])
        #expect(read[1].buckets.prefix(2).map(\.value) == [0, 1])
        #expect(log.clampedCount == 3)
    }

    @Test("tags and comments cannot break a line")
    func marks() throws {
        var log = HistogramLog(startedAt: start, comments: ["a\r\n[StartTime: 1 x", ""])
        log.add(tag: "a,b c\n\u{0}\"é", start: .zero, length: .zero, values: [.seconds(1)])
        #expect(try intervals(log).map(\.tag) == ["a_b_c__\"é"])
        #expect(log.text.hasPrefix("# a\n# [StartTime: 1 x\n# Values"))
        for time in [-1, .nan, .infinity, -.infinity, 1e300] as [Double] {
            let text = HistogramLog(startedAt: Date(timeIntervalSince1970: time)).text
            #expect(text.contains("#[StartTime: 0.000 (") || text.contains("#[StartTime: 253402300799.000 ("))
        }
    }

    @Test("stored zlib streams of one block and of many", arguments: [0, 1, 65_535, 65_536, 131_070, 200_000])
    func streams(count: Int) throws {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        #expect(try inflated(ZlibStream.storing(bytes)) == bytes)
        // The sum of RFC 1950's reference code.
        #expect(ZlibStream.storing(Array("Wikipedia".utf8)).suffix(4) == [0x11, 0xE6, 0x03, 0x98])
    }
}
