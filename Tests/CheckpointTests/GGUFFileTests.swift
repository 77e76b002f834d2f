// GGUF headers: sound ones are read, all others get an error that names the place.

import Checkpoint
import Foundation
import Testing

struct GGUFFileTests {
    /// Written anew for every attempt, removed with the test.
    private final class Scratch {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("winnow-\(UUID()).gguf")
        deinit { try? FileManager.default.removeItem(at: url) }
    }
    private let scratch = Scratch()

    private func read(_ bytes: Bytes) throws -> GGUFFile {
        try Data(bytes.all).write(to: scratch.url)
        return try GGUFFile(path: scratch.url.path)
    }

    private func problem(_ bytes: Bytes) -> String {
        do {
            _ = try read(bytes)
            return "none"
        } catch {
            return "\(error)"
        }
    }

    /// One value of every kind, and two tensors.
    private var sound: Bytes {
        let numbers =
            Bytes.header(tensors: 2, entries: 15) + "u8" + UInt32(0) + UInt8(200) + "i8" + UInt32(1) + Int8(-5) + "u16"
            + UInt32(2) + UInt16(60_000) + "i16" + UInt32(3) + Int16(-300) + "u32" + UInt32(4) + UInt32.max + "i32"
            + UInt32(5) + Int32.min
        let more =
            numbers + "f32" + UInt32(6) + Float(1.5).bitPattern + "bool" + UInt32(7) + UInt8(1) + "text" + UInt32(8)
            + "é"
            + "u64" + UInt32(10) + UInt64.max + "i64" + UInt32(11) + Int64.min + "f64" + UInt32(12) + 2.5.bitPattern
        let arrays =
            more + "numbers" + UInt32(9) + UInt32(5) + UInt64(2) + Int32(-1) + Int32(7) + "texts" + UInt32(9)
            + UInt32(8)
            + UInt64(2) + "a" + "" + "nested" + UInt32(9) + UInt32(9) + UInt64(2) + UInt32(7) + UInt64(1) + UInt8(0)
            + UInt32(6) + UInt64(0)
        // 3 x 2 floats take 24 bytes, one Q4_0 block 18.
        let tensors = Bytes.tensor("weights", [3, 2]) + Bytes.tensor("packed", [32], type: 2, offset: 32)
        return (arrays + tensors).withData(50)
    }

    @Test func everyKindOfValueIsRead() throws {
        let file = try read(sound)
        #expect(file.version == 3)
        #expect(file.keys.count == 15)
        #expect(file.keys.first == "u8")
        #expect(file.metadata["u8"] == .unsigned(200))
        #expect(file.metadata["i8"] == .signed(-5))
        #expect(file.metadata["u16"]?.integer == 60_000)
        #expect(file.metadata["i16"]?.integer == -300)
        #expect(file.metadata["u32"]?.integer == Int(UInt32.max))
        #expect(file.metadata["i32"] == .signed(Int64(Int32.min)))
        #expect(file.metadata["f32"] == .float(1.5))
        #expect(file.metadata["bool"]?.boolean == true)
        #expect(file.metadata["text"]?.string == "é")
        #expect(file.metadata["u64"] == .unsigned(.max))
        #expect(file.metadata["u64"]?.integer == nil)
        #expect(file.metadata["i64"] == .signed(.min))
        #expect(file.metadata["f64"] == .float(2.5))
        #expect(file.metadata["numbers"]?.integers == [-1, 7])
        #expect(file.metadata["texts"]?.strings == ["a", ""])
        #expect(file.metadata["nested"] == .array(.array([.boolean([false]), .float([])])))
    }

    @Test func tensorsAreRead() throws {
        let file = try read(sound)
        let weights = try #require(file.tensors.first)
        #expect(weights.name == "weights")
        #expect(weights.dimensions == [3, 2])
        #expect(weights.elementCount == 6)
        #expect(weights.byteCount == 24)
        #expect(weights.offset % 32 == 0)
        let packed = file.tensors[1]
        #expect("\(packed.type)" == "Q4_0")
        #expect(packed.byteCount == 18)
        #expect(packed.offset == weights.offset + 32)
    }

    @Test func versionTwoIsRead() throws {
        #expect(try read(.header(version: 2, entries: 1) + "a" + UInt32(7) + UInt8(0)).version == 2)
    }

    @Test func otherFilesAreRefused() {
        #expect(problem(Bytes()).contains("needs 4 more bytes"))
        #expect(problem(Bytes() + UInt64(0) + UInt64(0) + UInt64(0)).contains("magic"))
        #expect(problem(.header(version: 1, entries: 0)).contains("expected 2 or 3, found 1"))
        #expect(problem(.header(version: UInt32(3).byteSwapped, entries: 0)).contains("big-endian"))
    }

    @Test func absurdLengthsAreRefused() {
        for count in [1 << 20, 1 << 60, UInt64.max] {
            #expect(problem(.header(entries: count)).contains("metadata count: claims \(count)"))
            #expect(problem(.header(tensors: count, entries: 0)).contains("tensor count: claims \(count)"))
            let start = Bytes.header(entries: 1)
            #expect(problem(start + count + UInt64(0) + UInt64(0)).contains("claims \(count)"))
            #expect(problem(start + "a" + UInt32(8) + count + UInt64(0)).contains("metadata a, string at"))
            for type: UInt32 in [0, 5, 6, 7, 8, 9, 12] {
                let array = start + "a" + UInt32(9) + type + count + UInt64(0)
                #expect(problem(array).contains("metadata a, array length: claims \(count)"))
            }
        }
    }

    @Test func badMetadataIsRefused() {
        let start = Bytes.header(entries: 1)
        #expect(problem(start + "a" + UInt32(13) + UInt64(0)).contains("unknown value type 13"))
        #expect(problem(start + "a" + UInt32(9) + UInt32(99) + UInt64(0)).contains("unknown array element type 99"))
        #expect(problem(start + "a" + UInt32(7) + UInt8(2)).contains("expected 0 or 1"))
        #expect(problem(start + "" + UInt32(7) + UInt8(1) + UInt64(0)).contains("key is empty"))
        let twice = Bytes() + "a" + UInt32(7) + UInt8(1)
        #expect(problem(.header(entries: 2) + twice + twice).contains("metadata key a: appears twice"))
        var invalid = start + "a" + UInt32(8) + UInt64(1)
        invalid.all.append(0xFF)
        #expect(problem(invalid).contains("is not UTF-8"))
        var nested = start + "a" + UInt32(9)
        for _ in 0..<50 { nested = nested + UInt32(9) + UInt64(1) }
        #expect(problem(nested).contains("nested deeper than 4"))
        for value: UInt32 in [0, 3, 12, 1 << 30] {
            let aligned = Bytes.header(entries: 1) + "general.alignment" + UInt32(4) + value
            #expect(problem(aligned).contains("expected a multiple of 8"))
        }
    }

    @Test func badTensorsAreRefused() {
        func one(_ tensor: Bytes, data: Int = 64) -> String {
            problem((Bytes.header(tensors: 1, entries: 0) + tensor).withData(data))
        }
        #expect(one(.tensor("t", [8])) == "none")
        #expect(one(.tensor("t", [])).contains("expected 1 to 4, found 0"))
        #expect(one(.tensor("t", [1, 1, 1, 1, 1])).contains("expected 1 to 4, found 5"))
        #expect(one(.tensor("t", [0])).contains("a size of 0"))
        #expect(one(.tensor("t", [1 << 40, 1 << 40])).contains("more elements than fit"))
        #expect(one(.tensor("t", [1 << 62])).contains("more bytes than fit"))
        #expect(one(.tensor("t", [1 << 60, 1])).contains("needs bytes"))
        #expect(one(.tensor("t", [.max])).contains("a size of"))
        #expect(one(.tensor("t", [17])).contains("needs bytes 0..+68 of a data section of 64 bytes"))
        #expect(one(.tensor("t", [8], offset: 64)).contains("needs bytes"))
        #expect(one(.tensor("t", [8], offset: 7)).contains("not a multiple of 32"))
        #expect(one(.tensor("t", [8], offset: .max - 31)).contains("needs bytes"))
        #expect(one(.tensor("t", [33], type: 2)).contains("blocks of 32"))
        #expect(one(.tensor("t", [8], type: 999)) == "none")
        let head = Bytes.header(tensors: 2, entries: 0)
        #expect(
            problem((head + .tensor("t", [8]) + .tensor("t", [8], offset: 32)).withData(64)).contains("appears twice"))
        #expect(problem((head + .tensor("t", [9]) + .tensor("u", [8], offset: 32)).withData(64)).contains("overlaps t"))
    }

    /// Every way of cutting the file short fails, a thousand damaged copies fail or load; none crashes.
    @Test func damagedFilesFailOrLoad() throws {
        let bytes = sound.all
        for count in 0..<(bytes.count - 50 + 32) {
            #expect(throws: CheckpointError.self) { try read(Bytes(all: Array(bytes[..<count]))) }
        }
        var state: UInt64 = 1
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }
        var loaded = 0
        for _ in 0..<1000 {
            var copy = bytes
            for _ in 0...random(3) { copy[random(copy.count)] = UInt8(random(256)) }
            do {
                loaded += try read(Bytes(all: copy)).keys.count > 0 ? 1 : 0
            } catch is CheckpointError {
                continue
            }
        }
        #expect(loaded > 0)
    }
}
