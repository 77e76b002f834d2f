// A file of the user's, read no further than its bound.

package import Foundation

package enum InputFile {
    /// All bytes of a file or a pipe. What is too long is refused when one byte more than the bound has come, and a file
    /// that says its length before any has.
    ///
    /// - Parameters:
    ///   - limit: the most bytes that are read.
    ///   - fix: what to do with a file that is longer.
    /// - Throws: a prompts error that names the file.
    package static func read(_ path: String, limit: Int, fix: String) throws(LoadGeneratorError) -> Data {
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw LoadGeneratorError(.prompts, path, "cannot be read: no such file, or no permission")
        }
        defer { try? file.close() }
        var facts = stat()
        guard fstat(file.fileDescriptor, &facts) == 0, facts.st_mode & S_IFMT != S_IFDIR else {
            throw LoadGeneratorError(.prompts, path, "cannot be read: a directory")
        }
        guard facts.st_size <= limit else {
            throw LoadGeneratorError(.prompts, path, "\(facts.st_size) bytes is over the limit of \(limit): \(fix)")
        }
        let contents: Data
        do {
            contents = try file.read(upToCount: limit + 1) ?? Data()
        } catch {
            throw LoadGeneratorError(.prompts, path, "cannot be read: \(error.localizedDescription)")
        }
        guard contents.count <= limit else {
            throw LoadGeneratorError(.prompts, path, "is over the limit of \(limit) bytes: \(fix)")
        }
        return contents
    }
}
