// Files of a test's own.

import Foundation

/// A folder that is removed with the object.
final class TemporaryFolder: Sendable {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "winnow-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    /// A folder with copies of a model's files.
    convenience init(copyOf model: String) throws {
        try self.init()
        for name in try FileManager.default.contentsOfDirectory(atPath: model) {
            try Data(contentsOf: URL(fileURLWithPath: model).appending(path: name)).write(to: file(name))
        }
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    var path: String { url.path }

    func file(_ name: String) -> URL { url.appending(path: name) }

    /// Puts another model's files in the place of its own.
    func take(_ names: [String], of model: String) throws {
        for name in names { try Data(contentsOf: URL(fileURLWithPath: "\(model)/\(name)")).write(to: file(name)) }
    }

    /// Replaces a file's bytes.
    func change(_ name: String, _ change: (inout Data) throws -> Void) throws {
        var bytes = try Data(contentsOf: file(name))
        try change(&bytes)
        try bytes.write(to: file(name))
    }
}
