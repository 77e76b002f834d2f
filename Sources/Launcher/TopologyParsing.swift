// From the text of a topology file to a checked `Topology`.

internal import Foundation
internal import Settings

extension Topology {
    /// Most stages, spares and speculators of a kind.
    public static let stageLimit = Setting.stageRange.upperBound

    /// Reads and checks a file.
    ///
    /// - Parameters:
    ///   - path: The file; paths inside it are relative to its folder.
    ///   - areModelsHere: Whether the models must be on this machine.
    /// - Throws: ``TopologyError`` with line, key and fix.
    public init(contentsOf path: String, areModelsHere: Bool = true) throws(TopologyError) {
        let text = try YAMLText.read(path, what: "a topology file, for example cluster/demo.yaml")
        try self.init(yaml: text, path: path) { !areModelsHere || FileManager.default.fileExists(atPath: $0) }
    }

    /// Checks the text of a file.
    ///
    /// - Parameters:
    ///   - yaml: The text.
    ///   - path: Its file, for errors and as the place relative paths start from.
    ///   - fileExists: Whether a path exists; asked for each model: its `config.json`, or its GGUF file.
    /// - Throws: the first ``TopologyError``, with line, key and fix; ``read(yaml:path:fileExists:)`` gives all.
    public init(yaml: String, path: String, fileExists: (String) -> Bool) throws(TopologyError) {
        let (topology, faults) = Self.read(yaml: yaml, path: path, fileExists: fileExists)
        if let first = faults.first { throw first }
        guard let topology else {
            throw TopologyError(path: path, line: nil, key: "", problem: "can't be read", fix: "Correct the file.")
        }
        self = topology
    }

    /// Reads a file to its end, whatever is wrong with it; whether the models are there is not looked at.
    ///
    /// - Returns: as ``read(yaml:path:fileExists:)``.
    public static func read(contentsOf path: String) -> (topology: Topology?, faults: [TopologyError]) {
        do {
            let yaml = try YAMLText.read(path, what: "a topology file, for example cluster/demo.yaml")
            return read(yaml: yaml, path: path) { _ in true }
        } catch {
            return (nil, [error])
        }
    }

    /// Reads the text of a file to its end, whatever is wrong with it.
    ///
    /// - Returns: what could be read of it, nil where that is nothing, and all its faults in the order of their lines.
    public static func read(
        yaml: String, path: String, fileExists: (String) -> Bool
    ) -> (topology: Topology?, faults: [TopologyError]) {
        let faults = TopologyFaults()
        let topology = faults.attempt { () throws(TopologyError) in
            try Topology(YAMLText.compose(yaml, path: path, faults: faults, example: "cluster/demo.yaml"), fileExists)
        }
        let sorted = faults.all.enumerated().sorted {
            ($0.element.line ?? 0, $0.offset) < ($1.element.line ?? 0, $1.offset)
        }
        return (topology, sorted.map(\.element))
    }

    private init(_ root: TopologyNode, _ fileExists: (String) -> Bool) throws(TopologyError) {
        let faults = root.faults
        let own = Setting.all(in: .top).map(\.name)
        let top = try root.mapping(
            allowed: own + [
                "coordinator", "pipelines", "spares", "speculators", "restart", "speculation", "hosts", "environment",
                "keys",
            ])
        shared = SettingValues(top, .top, of: .coordinator)
        if top["model"] == nil {
            faults.add(root.error("`model` is missing", fix: "Add `model: DIR`, the main model's directory."))
        }
        for key in ["model", "speculator"] {
            guard let entry = top[key], let path = shared.text(key) else { continue }
            Self.checkModel(entry, path, fileExists)
        }
        if !shared.isSaid("name") {
            shared.set("name", shared.text("model").map { ($0 as NSString).lastPathComponent })
        }
        hosts = faults.attempt { () throws(TopologyError) in try HostPlace.table(top["hosts"]) } ?? [:]
        folder = (root.path as NSString).deletingLastPathComponent
        let hosts = hosts
        coordinator = CoordinatorPlace(top["coordinator"], hosts: hosts)
        for conflict in coordinator.settings.conflicts {
            guard
                let node = faults.attempt({ () throws(TopologyError) in try top["coordinator"]?.entry(conflict.name) })
            else { continue }
            if let node { faults.add(node.error(conflict.problem, fix: conflict.fix)) }
        }
        pipelines =
            faults.attempt { () throws(TopologyError) in
                try Pipeline.list(top["pipelines"], of: root, hosts: hosts)
            } ?? []
        func workers(_ key: String, isSpeculator: Bool) -> [WorkerPlace] {
            faults.attempt { () throws(TopologyError) in
                try WorkerPlace.list(top[key], isSpeculator: isSpeculator, hosts: hosts)
            } ?? []
        }
        spares = workers("spares", isSpeculator: false)
        speculators = workers("speculators", isSpeculator: true)
        if let entry = top["speculators"], !speculators.isEmpty {
            if top["speculator"] == nil {
                faults.add(
                    entry.error(
                        "there is no model for them", fix: "Add `speculator: DIR`, the small model's directory."))
            } else if let threads = try top["coordinator"]?.entry("threads") {
                faults.add(
                    threads.error(
                        "the coordinator computes nothing where there are `speculators`",
                        fix: "Give the threads to them: `speculators: {count: \(speculators.count), threads: N}`."))
            }
        }
        if let entry = try top["coordinator"]?.entry("speculative_decoding"), (try? entry.text()) != "0" {
            if top["speculator"] == nil {
                faults.add(
                    entry.error(
                        "is given without a speculator", fix: "Add `speculator: DIR`, the small model's directory."))
            } else if !speculators.isEmpty {
                faults.add(
                    entry.error(
                        "the coordinator guesses nothing where there are `speculators`, which only score prompts",
                        fix: "Remove it, or `speculators`."))
            }
        }
        keys =
            faults.attempt { () throws(TopologyError) -> KeySource in
                switch try top["keys"]?.text() {
                case nil, "auto": .ephemeral
                case "none": .none
                default: .folder(try top["keys"]?.file() ?? "keys")
                }
            } ?? .none
        restart =
            faults.attempt { () throws(TopologyError) in try RestartPolicy(top["restart"]) } ?? RestartPolicy()
        speculation = SettingValues(.coordinator)
        if let entry = top["speculation"] {
            if top["speculator"] == nil {
                faults.add(
                    entry.error(
                        "is given without a speculator", fix: "Add `speculator: DIR` or remove `speculation`."))
            }
            let keys = Setting.all(in: .speculation).map(\.name)
            let map = faults.attempt { () throws(TopologyError) in try entry.mapping(allowed: keys) } ?? [:]
            speculation = SettingValues(map, .speculation, of: .coordinator)
            for conflict in speculation.conflicts {
                if let node = map[conflict.name] { faults.add(node.error(conflict.problem, fix: conflict.fix)) }
            }
        }
        environment =
            faults.attempt { () throws(TopologyError) in try top["environment"]?.textMapping() ?? [:] } ?? [:]
        // A host that is not in the table has been named already.
        if faults.all.isEmpty { try checkReach(root) }
    }

    private static func checkModel(_ entry: TopologyNode, _ path: String, _ fileExists: (String) -> Bool) {
        if path.hasSuffix(".gguf") {
            guard !fileExists(path) else { return }
            entry.faults.add(
                entry.error("there is no \(path)", fix: "Name a GGUF file, relative to the topology file."))
        } else if !fileExists((path as NSString).appendingPathComponent("config.json")) {
            entry.faults.add(
                entry.error(
                    "there is no \(path)/config.json",
                    fix: "Name a model directory in Hugging Face layout or a GGUF file, relative to the topology file.")
            )
        }
    }
}
