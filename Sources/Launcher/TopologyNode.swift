// Typed, bounded reading of one YAML node; every failure names its line, key and fix.

internal import Foundation
internal import Settings
internal import Yams

/// The faults found so far in one file, which is read on after each.
final class TopologyFaults {
    private(set) var all: [TopologyError] = []

    func add(_ fault: TopologyError) { if !all.contains(fault) { all.append(fault) } }

    /// What `body` returns; nil, and its fault noted, where it throws.
    func attempt<T>(_ body: () throws(TopologyError) -> T) -> T? {
        do { return try body() } catch {
            add(error)
            return nil
        }
    }
}

/// A node of the file together with its place in it.
struct TopologyNode {
    /// The file's name, for errors.
    let path: String
    /// The key with its way from the top.
    let key: String
    /// What Yams read.
    let node: Node
    /// Where faults go that do not end the reading.
    let faults: TopologyFaults

    var line: Int? { node.mark?.line }

    /// An error at this node.
    func error(_ problem: String, fix: String) -> TopologyError {
        TopologyError(path: path, line: line, key: key, problem: problem, fix: fix)
    }

    /// A node below this one.
    private func below(_ key: String, _ node: Node) -> TopologyNode {
        TopologyNode(path: path, key: key, node: node, faults: faults)
    }

    /// The mapping's entries whose keys are of `allowed`; each other key is a fault.
    func mapping(allowed: [String]) throws(TopologyError) -> [String: TopologyNode] {
        guard let mapping = node.mapping else {
            throw error(
                "expected a mapping, found \(kind)", fix: "Write `key: value` lines with keys \(list(allowed)).")
        }
        var entries: [String: TopologyNode] = [:]
        for (keyNode, value) in mapping {
            guard let name = keyNode.scalar?.string else {
                faults.add(error("has a key that is not a plain word", fix: "Use one of \(list(allowed))."))
                continue
            }
            let place = key.isEmpty ? name : "\(key).\(name)"
            guard allowed.contains(name) else {
                faults.add(below(place, keyNode).error("unknown key", fix: Self.meant(by: name, allowed)))
                continue
            }
            // `key:` with nothing after it means "not given", as in every YAML dialect of the field.
            if value.isAbsent { continue }
            entries[name] = below(place, value)
        }
        return entries
    }

    /// Names and values of a free mapping (no fixed set of keys).
    func textMapping() throws(TopologyError) -> [String: String] {
        guard let mapping = node.mapping else {
            throw error("expected a mapping, found \(kind)", fix: "Write `NAME: value` lines.")
        }
        var entries: [String: String] = [:]
        for (keyNode, value) in mapping {
            guard let name = keyNode.scalar?.string, !name.isEmpty else {
                throw error("has a key that is not a plain word", fix: "Write `NAME: value` lines.")
            }
            entries[name] = try below("\(key).\(name)", value).text()
        }
        return entries
    }

    /// The sequence's elements, `1...limit` of them.
    func sequence(limit: Int) throws(TopologyError) -> [TopologyNode] {
        guard let sequence = node.sequence else {
            throw error("expected a list, found \(kind)", fix: "Write one `- ` entry a line.")
        }
        guard (1...limit).contains(sequence.count) else {
            throw error("has \(sequence.count) entries; 1 to \(limit) are allowed", fix: "Change the list.")
        }
        return sequence.enumerated().map { index, element in
            below("\(key)[\(index)]", element)
        }
    }

    /// A single value as text, not empty, without control characters (it becomes a command-line argument).
    func text() throws(TopologyError) -> String {
        guard let scalar = node.scalar?.string else {
            throw error("expected one value, found \(kind)", fix: "Write `\(lastKey): value`.")
        }
        guard !scalar.isEmpty else { throw error("is empty", fix: "Give it a value or remove the key.") }
        guard !scalar.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            throw error("holds a control character", fix: "Write plain text on one line.")
        }
        return scalar
    }

    /// The value of one key of a mapping, whatever its other keys; nil where it is absent.
    func entry(_ name: String) throws(TopologyError) -> TopologyNode? {
        guard let value = node.mapping?[name], !value.isAbsent else { return nil }
        return below("\(key).\(name)", value)
    }

    /// The path of a file or folder; a relative one starts from the topology file's folder.
    func file() throws(TopologyError) -> String {
        let written = try text()
        let folder = (path as NSString).deletingLastPathComponent
        return written.hasPrefix("/") || folder.isEmpty
            ? written : (folder as NSString).appendingPathComponent(written)
    }

    /// A time in seconds, whole or not, in `range`.
    func seconds(_ range: ClosedRange<Double>) throws(TopologyError) -> Duration {
        let text = try text()
        guard let value = Double(text), range.contains(value) else {
            throw error(
                "must be seconds from \(range.lowerBound) to \(range.upperBound), found `\(text)`",
                fix: "Write for example `\(lastKey): \(range.lowerBound)`.")
        }
        return .milliseconds(Int64((value * 1000).rounded()))
    }

    /// A whole number in `range`.
    func integer(_ range: ClosedRange<Int>) throws(TopologyError) -> Int {
        let text = try text()
        guard let value = Int(text), range.contains(value) else {
            throw error(
                "must be a whole number from \(range.lowerBound) to \(range.upperBound), found `\(text)`",
                fix: "Write for example `\(lastKey): \(range.lowerBound)`.")
        }
        return value
    }

    /// `true` or `false`.
    func boolean() throws(TopologyError) -> Bool {
        let text = try text()
        guard ["true", "false"].contains(text) else {
            throw error("must be true or false, found `\(text)`", fix: "Write `\(lastKey): true`.")
        }
        return text == "true"
    }

    /// One of `choices`; `what` names their kind.
    func choice(_ what: String, _ choices: [String]) throws(TopologyError) -> String {
        let text = try text()
        guard choices.contains(text) else {
            let all = choices.dropLast().map { "`\($0)`" }.joined(separator: ", ")
            throw error("there is no \(what) `\(text)`", fix: "Write \(all) or `\(choices.last ?? "")`.")
        }
        return text
    }

    var isSequence: Bool { node.sequence != nil }
    var isMapping: Bool { node.mapping != nil }

    private var lastKey: String { key.split(separator: ".").last.map(String.init) ?? "key" }

    private var kind: String {
        switch node {
        case .scalar(let scalar): scalar.string.isEmpty ? "nothing" : "`\(scalar.string.prefix(40))`"
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .alias: "an alias"
        }
    }

    private func list(_ names: [String]) -> String { Self.list(names) }

    private static func list(_ names: [String]) -> String { names.map { "`\($0)`" }.joined(separator: ", ") }

    /// What to write instead of a key that is not known here.
    private static func meant(by name: String, _ allowed: [String]) -> String {
        if let near = NearestWord.to(name.replacing("-", with: "_"), among: allowed) {
            return "Did you mean `\(near)`?"
        }
        let homes = Setting.table.filter { $0.name == name }.flatMap { $0.homes.compactMap(\.section) }.sorted()
        if let home = homes.first { return "It belongs \(home)." }
        return "Known here: \(list(allowed))."
    }
}

extension Node {
    /// True for `key:` without a value, and for `key: null` or `key: ~`.
    fileprivate var isAbsent: Bool {
        guard let scalar, scalar.style == .any || scalar.style == .plain else { return false }
        return ["", "~", "null"].contains(scalar.string)
    }
}

extension Setting.Home {
    /// Where the file has it, as an error says it.
    fileprivate var section: String? {
        switch self {
        case .top: "at the top of the file"
        case .coordinator: "in `coordinator`"
        case .speculation: "in `speculation`"
        case .worker, .mainWorker: "in a stage of `pipelines`"
        case .pipeline: nil
        }
    }
}
