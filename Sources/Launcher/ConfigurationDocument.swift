// What one process is told by a file: `winnow worker --config FILE`.

internal import Foundation
public import Settings

/// A configuration document: a YAML mapping whose keys are the process's flags, with `_` for `-`. Paths in it are relative
/// to its folder.
public struct ConfigurationDocument: Equatable, Sendable {
    /// Its file.
    public let path: String
    /// What it says.
    public let values: SettingValues
    /// The line of each key, counted from 1.
    public let lines: [String: Int]

    /// Reads and checks a file.
    ///
    /// - Throws: ``TopologyErrors``: everything that is wrong with it.
    public init(contentsOf path: String, of process: Setting.Process) throws(TopologyErrors) {
        let yaml: String
        do {
            yaml = try YAMLText.read(path, what: "a configuration document of winnow \(process.rawValue)")
        } catch {
            throw TopologyErrors([error])
        }
        try self.init(yaml: yaml, path: path, of: process)
    }

    /// Checks the text of a file.
    ///
    /// - Throws: ``TopologyErrors``: everything that is wrong with it.
    public init(yaml: String, path: String, of process: Setting.Process) throws(TopologyErrors) {
        let faults = TopologyFaults()
        var values = SettingValues(process)
        var lines: [String: Int] = [:]
        faults.attempt { () throws(TopologyError) in
            let root = try YAMLText.compose(
                yaml, path: path, faults: faults, example: "`model: DIR`, one flag a line with `_` for `-`")
            let settings = Setting.all(of: process)
            let nodes = try root.mapping(allowed: settings.map(\.name))
            values.read(nodes, settings)
            lines = nodes.compactMapValues(\.line)
        }
        guard faults.all.isEmpty else { throw TopologyErrors(faults.all) }
        self.path = path
        self.values = values
        self.lines = lines
    }
}

/// Everything that is wrong with a file, a line each.
public struct TopologyErrors: Error, Equatable, Sendable, CustomStringConvertible {
    /// At least one.
    public let errors: [TopologyError]

    init(_ errors: [TopologyError]) { self.errors = errors.sorted { ($0.line ?? 0) < ($1.line ?? 0) } }

    public var description: String { errors.map(\.description).joined(separator: "\n") }
}
