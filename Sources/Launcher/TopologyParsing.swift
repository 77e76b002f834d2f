// From the text of a topology file to a checked `Topology`.

internal import Foundation
internal import Yams

extension Topology {
    /// Longest file taken, in bytes.
    static let sizeLimit = 1 << 20
    /// Most stages a pipeline may have (more than any model has layers to give away), most spares, most speculators.
    public static let stageLimit = 256
    /// Most pipelines.
    public static let pipelineLimit = 64
    /// Most compute threads a process may be given.
    static let threadLimit = 1024
    /// Most tokens any cache may be given.
    static let kvLimit = 1 << 30
    /// Most rows a micro-batch may be given.
    static let rowLimit = 1 << 16
    /// Seconds that running requests may be given at the end.
    public static let drainTimes = 0...3600
    /// Seconds that a request may wait for another pipeline.
    public static let replayWaits = 0...3600
    /// Pipelines that a request may lose.
    public static let replayCounts = 0...100
    /// Seconds that a busy worker may go without progress.
    public static let stallLimits = 1...86_400

    /// Reads and checks a file.
    ///
    /// - Parameters:
    ///   - path: The file; paths inside it are relative to its folder.
    ///   - areModelsHere: Whether the models must be on this machine.
    /// - Throws: ``TopologyError`` with line, key and fix.
    public init(contentsOf path: String, areModelsHere: Bool = true) throws(TopologyError) {
        func unreadable(_ problem: String) -> TopologyError {
            TopologyError(
                path: path, line: nil, key: "", problem: problem,
                fix: "Give the path of a topology file, for example cluster/demo.yaml.")
        }
        let url = URL(fileURLWithPath: path)
        guard let handle = try? FileHandle(forReadingFrom: url) else { throw unreadable("the file can't be opened") }
        defer { try? handle.close() }
        guard let data = try? handle.read(upToCount: Self.sizeLimit + 1) ?? Data() else {
            throw unreadable("the file can't be read")
        }
        guard data.count <= Self.sizeLimit else { throw unreadable("the file is over \(Self.sizeLimit) bytes") }
        guard let text = String(data: data, encoding: .utf8) else { throw unreadable("the file is not UTF-8 text") }
        try self.init(yaml: text, path: path) { !areModelsHere || FileManager.default.fileExists(atPath: $0) }
    }

    /// Checks the text of a file.
    ///
    /// - Parameters:
    ///   - yaml: The text.
    ///   - path: Its file, for errors and as the place relative paths start from.
    ///   - fileExists: Whether a path exists; asked for each model: its `config.json`, or its GGUF file.
    /// - Throws: ``TopologyError`` with line, key and fix.
    public init(yaml: String, path: String, fileExists: (String) -> Bool) throws(TopologyError) {
        let root = try Self.compose(yaml, path: path)
        let top = try root.mapping(allowed: [
            "name", "model", "speculator", "dtype", "cpu_level", "coordinator", "pipelines", "spares", "speculators",
            "restart", "speculation", "hosts", "environment", "keys",
        ])
        func modelDirectory(_ entry: TopologyNode) throws(TopologyError) -> String {
            let directory = try entry.file()
            if directory.hasSuffix(".gguf") {
                guard fileExists(directory) else {
                    throw entry.error(
                        "there is no \(directory)", fix: "Name a GGUF file, relative to the topology file.")
                }
                return directory
            }
            guard fileExists((directory as NSString).appendingPathComponent("config.json")) else {
                throw entry.error(
                    "there is no \(directory)/config.json",
                    fix: "Name a model directory in Hugging Face layout or a GGUF file, relative to the topology file.")
            }
            return directory
        }

        guard let model = top["model"] else {
            throw root.error("`model` is missing", fix: "Add `model: DIR`, the main model's directory.")
        }
        self.model = try modelDirectory(model)
        if let speculator = top["speculator"] { self.speculator = try modelDirectory(speculator) }
        if let name = top["name"] {
            self.name = try name.text()
        } else {
            self.name = (self.model as NSString).lastPathComponent
        }
        dtype = try top["dtype"]?.choice("number format", ["auto", "f32", "bf16", "int8"])
        cpuLevel = try top["cpu_level"]?.choice("CPU level", Self.cpuLevels)
        hosts = try HostPlace.table(top["hosts"])
        folder = (path as NSString).deletingLastPathComponent
        coordinator = try CoordinatorPlace(top["coordinator"], hosts: hosts)
        pipelines = try Pipeline.list(top["pipelines"], of: root, hosts: hosts)
        spares = try WorkerPlace.list(top["spares"], isSpeculator: false, hosts: hosts)
        speculators = try WorkerPlace.list(top["speculators"], isSpeculator: true, hosts: hosts)
        if let entry = top["speculators"], !speculators.isEmpty {
            guard speculator != nil else {
                throw entry.error(
                    "there is no model for them", fix: "Add `speculator: DIR`, the small model's directory.")
            }
            if let threads = try top["coordinator"]?.entry("threads") {
                throw threads.error(
                    "the coordinator computes nothing where there are `speculators`",
                    fix: "Give the threads to them: `speculators: {count: \(speculators.count), threads: N}`.")
            }
        }
        keys =
            switch try top["keys"]?.text() {
            case nil, "auto": .ephemeral
            case "none": .none
            default: .folder(try top["keys"]?.file() ?? "keys")
            }
        restart = try RestartPolicy(top["restart"])
        speculation = try SpeculationDefaults(top["speculation"], hasSpeculator: speculator != nil)
        environment = try top["environment"]?.textMapping() ?? [:]
        try checkReach(root)
    }

    private static func compose(_ yaml: String, path: String) throws(TopologyError) -> TopologyNode {
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
                path: path, line: nil, key: "", problem: "the file is empty",
                fix: "Start from cluster/demo.yaml: `model`, `coordinator` and `pipelines`.")
        }
        return TopologyNode(path: path, key: "", node: node)
    }
}

extension Topology.SpeculationDefaults {
    fileprivate init(_ entry: TopologyNode?, hasSpeculator: Bool) throws(TopologyError) {
        guard let entry else { return }
        guard hasSpeculator else {
            throw entry.error("is given without a speculator", fix: "Add `speculator: DIR` or remove `speculation`.")
        }
        let map = try entry.mapping(allowed: [
            "keep_rate", "selection", "look_ahead", "chunk", "stride", "pool", "tail", "threshold",
        ])
        if let node = map["keep_rate"] {
            let text = try node.text()
            guard let rate = Double(text), rate > 0, rate <= 1 else {
                throw node.error(
                    "must be over 0 and at most 1, found `\(text)`", fix: "Write for example `keep_rate: 0.1`.")
            }
            keepRate = rate
        }
        selection = try map["selection"]?.choice("selection", ["windows", "grid", "reference"])
        lookAhead = try map["look_ahead"]?.integer(1...128)
        chunk = try map["chunk"]?.integer(1...65_536)
        // The coordinator's default chunk where the file names none.
        stride = try map["stride"]?.integer(1...(chunk ?? 32))
        if let node = map["pool"] {
            let width = try node.integer(1...65_535)
            guard width % 2 == 1 else {
                throw node.error("must be odd, found `\(width)`", fix: "Write for example `pool: 13`.")
            }
            pool = width
        }
        tail = try map["tail"]?.integer(0...1_048_576)
        threshold = try map["threshold"]?.integer(0...1_048_576)
    }
}
