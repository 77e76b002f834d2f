internal import Foundation
internal import SecretFiles

/// Whose keys may join a cluster, and as what.
///
/// A text of lines `ROLE NAME KEY`; `#` begins a comment. NAME is the worker's `--name`; one that ends in `*` stands for
/// all that begin so, for hosts whose names an orchestrator gives.
public struct AllowList: Equatable, Sendable {
    /// One key.
    public struct Entry: Hashable, Sendable {
        public var role: WorkerRole
        public var name: String
        public var key: PublicKey

        public init(role: WorkerRole, name: String, key: PublicKey) {
            self.role = role
            self.name = name
            self.key = key
        }

        package func covers(name: String) -> Bool {
            self.name.hasSuffix("*") ? name.hasPrefix(self.name.dropLast()) : name == self.name
        }
    }

    /// In the order of the file.
    public private(set) var entries: [Entry] = []
    private var byKey: [PublicKey: Entry] = [:]

    /// Most entries of a list.
    public static let limit = 4096

    public init() {}

    public subscript(_ key: PublicKey) -> Entry? { byKey[key] }

    /// Whether this can be a process's name: 1 to 64 letters, digits, `-`, `_` and `.`, of which a `*` may be the last.
    public static func isName(_ text: some StringProtocol) -> Bool {
        let letters = text.hasSuffix("*") ? text.utf8.dropLast() : text.utf8.dropLast(0)
        return (1...64).contains(text.utf8.count)
            && letters.allSatisfy { letter in
                switch letter {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }

    /// Adds a key. One that is there already is replaced: a key is one process.
    public mutating func add(_ entry: Entry) {
        entries.removeAll { $0.key == entry.key }
        entries.append(entry)
        byKey[entry.key] = entry
    }

    /// Takes away every key of that name; returns how many.
    public mutating func revoke(_ name: String) -> Int {
        let gone = entries.filter { $0.name == name }
        entries.removeAll { $0.name == name }
        for entry in gone { byKey[entry.key] = nil }
        return gone.count
    }

    /// - Throws: `KeyError.file` with the line, for a file that can't be read or a line that is none.
    public init(path: String) throws(KeyError) {
        let data: Data
        do throws(SecretFileError) {
            data = try SecretFile.read(path, isSecret: false)
        } catch {
            throw KeyError(error)
        }
        try self.init(String(decoding: data, as: UTF8.self), path: path)
    }

    package init(_ text: String, path: String) throws(KeyError) {
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
            if words.isEmpty { continue }
            func bad(_ problem: String) -> KeyError { .file("\(path), line \(index + 1)", problem) }
            guard words.count == 3 else { throw bad("must be ROLE NAME KEY") }
            guard let role = WorkerRole(rawValue: String(words[0])) else {
                throw bad("the role must be stage or speculator, found \"\(words[0].prefix(40))\"")
            }
            guard Self.isName(words[1]) else {
                throw bad("a name is 1 to 64 letters, digits, '-', '_', '.', and may end in '*'")
            }
            guard let key = PublicKey(words[2]) else { throw bad("a key is 64 hexadecimal digits") }
            guard byKey[key] == nil else { throw bad("the key stands in the list already: a key is one process") }
            guard entries.count < Self.limit else { throw bad("there are over \(Self.limit) keys") }
            add(Entry(role: role, name: String(words[1]), key: key))
        }
    }

    /// Replaces the file at once, so that who reads it sees the old list or the new one.
    ///
    /// - Throws: `KeyError.file`.
    public func write(to path: String) throws(KeyError) {
        let head = "# Whose keys may join: ROLE NAME KEY. Read again whenever it changes.\n"
        let text = entries.map { "\($0.role.rawValue) \($0.name) \($0.key)\n" }.joined()
        do {
            try Data((head + text).utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
        } catch {
            throw .file(path, "can't be written: \(error.localizedDescription)")
        }
    }
}
