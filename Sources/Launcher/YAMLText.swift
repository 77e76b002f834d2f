// The text of a YAML file, bounded, and its root node.

internal import Foundation
internal import Yams

/// YAML that an operator wrote.
enum YAMLText {
    /// Longest file taken, in bytes.
    static let sizeLimit = 1 << 20
    /// Most aliases (`*name`), and the longest file with any: nested, they make up to 81 times as much of it. With a hundred
    /// a short file would stand for more than can ever be looked at.
    static let aliasLimit = 12
    static let sizeLimitWithAliases = 64 << 10

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
        let aliases = aliases(in: yaml)
        guard aliases <= aliasLimit, aliases == 0 || yaml.utf8.count <= sizeLimitWithAliases else {
            throw broken(
                nil,
                "\(aliases) aliases (`*name`); at most \(aliasLimit) are taken, in a file of at most "
                    + "\(sizeLimitWithAliases) bytes. Write out what they stand for")
        }
        let node: Node?
        do {
            node = try Yams.compose(yaml: yaml)
        } catch YamlError.scanner(_, let problem, let mark, _), YamlError.parser(_, let problem, let mark, _),
            YamlError.composer(_, let problem, let mark, _)
        {
            throw broken(mark.line, "not YAML: \(problem)")
        } catch YamlError.reader(let problem, let offset, let value, _) {
            let place = offset.flatMap { yaml.index(yaml.startIndex, offsetBy: $0, limitedBy: yaml.endIndex) }
            let code = value < 0 ? "" : " (U+\(String(value, radix: 16, uppercase: true)))"
            throw broken(place.map { 1 + yaml[..<$0].count(where: \.isNewline) }, "not YAML: \(problem)\(code)")
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

    /// How many there may be: a few more where texts and comments look like them.
    private static func aliases(in yaml: String) -> Int {
        var count = 0
        // As at the beginning of a line.
        var (before, last) = (UInt8(ascii: "\n"), UInt8(ascii: "\n"))
        for byte in yaml.utf8 {
            if last == UInt8(ascii: "*"), isWordByte(byte), " \t\r\n[{,:?".utf8.contains(before) || before >= 0x80 {
                count += 1
            }
            (before, last) = (last, byte)
        }
        return count
    }

    /// libyaml's: of an alias's name.
    private static func isWordByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}
