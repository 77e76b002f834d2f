// The text of a YAML file, bounded, and its root node.

internal import Foundation
internal import Yams

/// YAML that an operator wrote.
enum YAMLText {
    /// Longest file taken, in bytes.
    static let sizeLimit = 1 << 20

    /// Reads a file; `what` says which kind is wanted, for the fix.
    static func read(_ path: String, what: String) throws(TopologyError) -> String {
        func unreadable(_ problem: String) -> TopologyError {
            TopologyError(path: path, line: nil, key: "", problem: problem, fix: "Give the path of \(what).")
        }
        let url = URL(fileURLWithPath: path)
        guard let handle = try? FileHandle(forReadingFrom: url) else { throw unreadable("the file can't be opened") }
        defer { try? handle.close() }
        guard let data = try? handle.read(upToCount: sizeLimit + 1) ?? Data() else {
            throw unreadable("the file can't be read")
        }
        guard data.count <= sizeLimit else { throw unreadable("the file is over \(sizeLimit) bytes") }
        guard let text = String(data: data, encoding: .utf8) else { throw unreadable("the file is not UTF-8 text") }
        return text
    }

    /// The root of the document; `example` is a file to start from.
    static func compose(
        _ yaml: String, path: String, faults: TopologyFaults, example: String
    ) throws(TopologyError) -> TopologyNode {
        func broken(_ line: Int?, _ problem: String) -> TopologyError {
            TopologyError(path: path, line: line, key: "", problem: problem, fix: "Correct the YAML there.")
        }
        let node: Node?
        do {
            node = try Yams.compose(yaml: yaml)
        } catch YamlError.scanner(_, let problem, let mark, _), YamlError.parser(_, let problem, let mark, _),
            YamlError.composer(_, let problem, let mark, _)
        {
            throw broken(mark.line, "not YAML: \(problem)")
        } catch YamlError.duplicatedKeysInMapping(let duplicates, let context) {
            throw broken(context.mark.line, "the key `\(duplicates.sorted().joined(separator: "`, `"))` appears twice")
        } catch {
            throw broken(nil, "not YAML: \(error)")
        }
        guard let node else {
            throw TopologyError(
                path: path, line: nil, key: "", problem: "the file is empty", fix: "Start from \(example).")
        }
        return TopologyNode(path: path, key: "", node: node, faults: faults)
    }
}
