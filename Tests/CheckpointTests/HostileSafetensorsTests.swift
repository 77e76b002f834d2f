// Weights that are damaged or lie: each gets an error that names the file and the place, and nothing else happens.

import Checkpoint
import Foundation
import Testing

@Suite struct HostileSafetensorsTests {
    /// Opens a file made of a header and data; returns the error.
    private func open(_ bytes: [UInt8]) throws -> CheckpointError? {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/model.safetensors"
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        do {
            _ = try SafetensorsFile(path: path)
            return nil
        } catch {
            #expect(error.path == path)
            return error
        }
    }

    private func file(_ header: String, data: Int) -> [UInt8] {
        length(UInt64(header.utf8.count)) + Array(header.utf8) + [UInt8](repeating: 1, count: data)
    }

    private func length(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }

    private func tensor(_ name: String, _ dtype: String, _ shape: String, _ offsets: String) -> String {
        "\"\(name)\": {\"dtype\": \(dtype), \"shape\": \(shape), \"data_offsets\": \(offsets)}"
    }

    @Test func aGoodFileOpens() throws {
        let header =
            "{\"__metadata__\": {\"format\": \"pt\"}, \(tensor("a", "\"F32\"", "[2, 3]", "[0, 24]")), "
            + "\(tensor("empty", "\"F32\"", "[0, 3]", "[4, 4]")), \(tensor("scalar", "\"BF16\"", "[]", "[24, 26]"))}   "
        #expect(try open(file(header, data: 26)) == nil)
    }

    @Test(arguments: [0, 1, 7])
    func aFileTooShortForALength(count: Int) throws {
        let error = try #require(try open([UInt8](repeating: 0, count: count)))
        #expect(error.problem.contains("at least 8"))
        #expect(error.fix != nil)
    }

    @Test(arguments: [UInt64(1) << 60, UInt64.max, 1 << 63, 100_000_001, 3])
    func aHeaderLongerThanTheFile(claimed: UInt64) throws {
        let error = try #require(try open(length(claimed) + [0x7B, 0x7D]))
        #expect(error.place == "header" && error.problem.contains("\(claimed)"))
    }

    @Test func everyTruncationIsNoticed() throws {
        let whole = file("{\(tensor("a", "\"F32\"", "[2, 3]", "[0, 24]"))}", data: 24)
        for count in 0..<whole.count { #expect(try open(Array(whole[..<count])) != nil) }
        #expect(try open(whole) == nil)
    }

    @Test(arguments: [
        "", "{", "[]", "null", "{\"a\": 1}", "{\"a\": null}", "{\"a\": {}}", "{\"a\": {\"dtype\": \"F32\"}}",
        "\u{0}\u{1}\u{2}",
        String(repeating: "[", count: 5000), String(repeating: "{\"a\":", count: 5000), "{} x",
    ])
    func aHeaderThatIsNoTensorList(header: String) throws {
        #expect(try open(file(header, data: 8)) != nil)
    }

    @Test(arguments: [
        ("\"F33\"", "[2]", "[0, 8]", "unknown type"),
        ("7", "[2]", "[0, 8]", "expected a string"),
        ("\"F32\"", "[3]", "[0, 8]", "takes 12 bytes"),
        ("\"F32\"", "[1]", "[0, 8]", "takes 4 bytes"),
        ("\"F32\"", "[-2]", "[0, 8]", "expected a size"),
        ("\"F32\"", "[2.5]", "[0, 8]", "expected a size"),
        ("\"F32\"", "2", "[0, 8]", "expected a list"),
        ("\"F32\"", "[4294967296, 4294967296]", "[0, 8]", "too large"),
        ("\"F32\"", "[2305843009213693952, 2]", "[0, 0]", "too large"),
        ("\"F32\"", "[2]", "[8, 0]", "not before"),
        ("\"F32\"", "[2]", "[0]", "not before"),
        ("\"F32\"", "[2]", "[-8, 0]", "expected a size"),
        ("\"F32\"", "[2]", "[1, 9]", "ends at byte 9"),
        ("\"F32\"", "[2]", "[9223372036854775799, 9223372036854775807]", "ends at byte"),
        ("\"F32\"", "[2]", "[18446744073709551608, 18446744073709551616]", "expected a size"),
    ])
    func aTensorThatCannotBe(dtype: String, shape: String, offsets: String, problem: String) throws {
        let error = try #require(try open(file("{\(tensor("w", dtype, shape, offsets))}", data: 8)))
        #expect(error.place.hasPrefix("w."))
        #expect(error.problem.contains(problem), "\(error)")
    }

    @Test func overlappingTensors() throws {
        let header = "{\(tensor("a", "\"F32\"", "[4]", "[0, 16]")), \(tensor("b", "\"F32\"", "[4]", "[12, 28]"))}"
        let error = try #require(try open(file(header, data: 28)))
        #expect(error.place == "b" && error.problem.contains("overlap those of a"))
    }

    @Test func aDirectoryOrNothingInsteadOfAFile() throws {
        let directory = try TemporaryDirectory()
        #expect(throws: CheckpointError.self) { try SafetensorsFile(path: directory.path) }
        let error = #expect(throws: CheckpointError.self) { try SafetensorsFile(path: directory.path + "/none") }
        #expect(error?.fix == "check the path")
    }
}
