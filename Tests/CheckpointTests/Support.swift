// Directories and models for the tests of this folder.

import Checkpoint
import Foundation

/// A directory that is removed with the object.
final class TemporaryDirectory: Sendable {
    let path: String
    private let isOwn: Bool

    init() throws {
        isOwn = true
        path = FileManager.default.temporaryDirectory.appendingPathComponent("winnow-\(UUID())").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    /// A folder that is part of another, and goes with it.
    init(at path: String) throws {
        self.path = path
        isOwn = false
    }

    deinit { if isOwn { try? FileManager.default.removeItem(atPath: path) } }

    /// Reads a JSON object in the directory.
    func json(_ name: String) throws -> [String: JSONValue] {
        try JSONObject(file: "\(path)/\(name)").fields
    }

    /// Writes a JSON object into the directory.
    func write(_ object: [String: JSONValue], to name: String) throws {
        try JSONEncoder().encode(object).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
    }

    /// Changes fields of a JSON object in the directory; nil removes one.
    func edit(_ name: String, _ changes: [String: JSONValue?]) throws {
        var object = try json(name)
        for (key, value) in changes { object[key] = value }
        try write(object, to: name)
    }
}

/// A new small synthetic model in a directory of its own.
func smallModel(
    seed: UInt64 = 1, precision: SyntheticCheckpoint.Precision = .bf16, hidden: Int = 16, layers: Int = 2
) throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    try SyntheticCheckpoint.write(
        SyntheticCheckpoint.configuration(
            hidden: hidden, layers: layers, feedForward: 24, heads: 4, kvHeads: 2, vocabulary: 300, context: 128),
        precision: precision, seed: seed, to: directory.path)
    return directory
}

/// The folder of committed files.
let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures")

/// The values of some rows of a tensor, all if none are given.
func values(_ checkpoint: Checkpoint, _ tensor: TensorLayout.Tensor, rows: Range<Int>? = nil) throws -> [Float] {
    let rows = rows ?? 0..<tensor.rows
    let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: rows.count * tensor.columns)
    defer { buffer.deallocate() }
    buffer.initialize(repeating: .nan)
    try checkpoint.decodeRows(tensor, rows: rows, into: buffer)
    return Array(buffer)
}
