// One setting of a process: what it is called, what it may be, and where it is said.

/// An entry of the table of settings (``Setting/table``). Flags, keys of configuration documents and of topology files,
/// `--help`, the README's tables and the JSON schema come from it.
public struct Setting: Sendable {
    /// Who has the setting.
    public enum Process: String, Sendable, CaseIterable {
        case coordinator, worker, generate, bench
    }

    /// Where a topology file says it.
    public enum Home: Sendable, Hashable {
        /// At the top: for every process that has it.
        case top
        /// In `coordinator`.
        case coordinator
        /// In `speculation`.
        case speculation
        /// In a stage, a spare or a speculator.
        case worker
        /// In a stage or a spare.
        case mainWorker
        /// In a pipeline, for all its stages.
        case pipeline
    }

    /// What numbers count.
    public enum Unit: String, Sendable {
        case seconds, tokens, bytes, requests, threads, stages
    }

    /// Its key in documents: lower case, `_` between words.
    public let name: String
    /// What it may be.
    public let kind: SettingKind
    /// What its number counts; nil where the name says it.
    public let unit: Unit?
    /// Its value where nothing is said, as it would be written; nil: what ``doc`` says.
    public let fallback: String?
    /// A sentence or two for `--help` and the README.
    public let doc: String
    /// What stands for a value in `--help`.
    public let valueName: String
    /// The processes that have it.
    public let processes: Set<Process>
    /// Where a topology file says it; empty where the file's shape does.
    public let homes: Set<Home>
    /// Whether a process can't start without it.
    public let isRequired: Bool

    init(
        _ name: String, _ kind: SettingKind, _ unit: Unit? = nil, default fallback: String? = nil,
        of processes: Set<Process>, in homes: Set<Home>, value valueName: String? = nil, isRequired: Bool = false,
        _ doc: String
    ) {
        self.name = name
        self.kind = kind
        self.unit = unit
        self.fallback = fallback
        self.doc = doc
        self.valueName = valueName ?? unit.map { $0 == .seconds || $0 == .bytes ? $0.rawValue : "n" } ?? kind.valueName
        self.processes = processes
        self.homes = homes
        self.isRequired = isRequired
    }

    /// Its long flag without the dashes: `look-ahead`.
    public var flag: String { name.replacing("_", with: "-") }

    /// What is wrong with a value.
    public struct Problem: Error, Equatable, Sendable {
        /// What was expected and what was found; follows the setting's name.
        public var problem: String
        /// A value that would do, as it would be written.
        public var example: String
        /// What to do beyond writing such a value; nil: nothing.
        public var hint: String?

        /// A whole sentence with the fix, for a document.
        public func fix(key: String) -> String {
            hint.map { "\($0): `\(key): \(example)`." } ?? "Write for example `\(key): \(example)`."
        }
    }

    /// What is wrong with `text` as its value, or as one of its values where it takes several; nil: nothing.
    public func problem(with text: String) -> Problem? {
        guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            return Problem(problem: "holds a control character", example: fallback ?? kind.example)
        }
        guard !text.isEmpty else { return Problem(problem: "is empty", example: fallback ?? kind.example) }
        return kind.problem(with: text, unit: unit, example: fallback)
    }

    /// The settings of a process, in the table's order.
    public static func all(of process: Process) -> [Setting] { table.filter { $0.processes.contains(process) } }

    /// A setting by its key.
    public static func named(_ name: String, of process: Process) -> Setting? {
        table.first { $0.name == name && $0.processes.contains(process) }
    }

    /// The settings that a place of a topology file says, in the table's order.
    public static func all(in home: Home) -> [Setting] { table.filter { $0.homes.contains(home) } }
}
