// Chat templates that are files of their own.

internal import Checkpoint
internal import Foundation

/// `chat_template.jinja` and `additional_chat_templates/NAME.jinja`, as transformers saves them.
enum TemplateFiles {
    /// Largest chat template read, in bytes.
    private static let longest = 1 << 20

    /// The templates of a model directory by name; none when it has no such files.
    static func read(in directory: String) throws(TokenizerError) -> [(name: String, text: String)] {
        var templates: [(name: String, text: String)] = []
        if let text = try text(of: directory + "/chat_template.jinja") { templates.append(("default", text)) }
        let folder = directory + "/additional_chat_templates"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        for name in names.filter({ $0.hasSuffix(".jinja") }).sorted().prefix(32) {
            guard let text = try text(of: folder + "/" + name) else { continue }
            templates.append((String(name.dropLast(".jinja".count)), text))
        }
        return templates
    }

    private static func text(of path: String) throws(TokenizerError) -> String? {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        do throws(CheckpointError) {
            let mapped = try MappedFile(path: path)
            guard mapped.count <= longest else {
                throw CheckpointError(
                    path: path, place: "", problem: "\(mapped.count) bytes, at most \(longest) are accepted")
            }
            return mapped.withBytes { String(decoding: $0, as: UTF8.self) }
        } catch {
            throw TokenizerError(path: path, place: error.place, problem: error.problem, fix: error.fix)
        }
    }
}
