// The workers of a topology file: the stages of pipelines, spares and speculators; and what becomes of them.

internal import Wire
internal import Yams

extension Topology {
    /// Whether a pipeline can be called so: letters, digits, `-`, `_` and `.`, 1 to 64 of them.
    public static func isPipelineName(_ name: some StringProtocol) -> Bool {
        (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }
}

extension Topology.Pipeline {
    /// What the pipeline of one entry is called where it names none.
    public static let defaultName = "main"

    /// Reads `pipelines`.
    static func list(
        _ entry: TopologyNode?, of root: TopologyNode, hosts: [String: Topology.HostPlace]
    ) throws(TopologyError) -> [Topology.Pipeline] {
        guard let entry else {
            throw root.error("`pipelines` is missing", fix: "Add `pipelines:` with one entry `- stages: 1`.")
        }
        var pipelines: [Topology.Pipeline] = []
        for (index, element) in try entry.sequence(limit: Topology.pipelineLimit).enumerated() {
            let pipeline = try Topology.Pipeline(element, index: index, hosts: hosts)
            guard !pipelines.contains(where: { $0.name == pipeline.name }) else {
                throw (try element.entry("name") ?? element).error(
                    "another pipeline is called `\(pipeline.name)`", fix: "Give each a `name` of its own.")
            }
            pipelines.append(pipeline)
        }
        return pipelines
    }

    private init(_ entry: TopologyNode, index: Int, hosts: [String: Topology.HostPlace]) throws(TopologyError) {
        let shared = Topology.WorkerPlace.sharedKeys + ["kv_tokens", "layers"]
        let map = try entry.mapping(allowed: ["name", "stages"] + shared)
        if let node = map["layers"], !node.isWord("auto") {
            throw node.error(
                "of a whole pipeline can only be auto", fix: "Write `layers: auto`, or give each stage its own layers.")
        }
        name = index == 0 ? Self.defaultName : "pipeline-\(index)"
        if let node = map["name"] {
            name = try node.text()
            guard Topology.isPipelineName(name) else {
                throw node.error(
                    "must be 1 to 64 letters, digits, `-`, `_` and `.`, found `\(name)`",
                    fix: "Write for example `name: fast`.")
            }
        }
        guard let list = map["stages"] else {
            throw entry.error("`stages` is missing", fix: "Write `stages: 3`, or a list with one entry a stage.")
        }
        // `stages: 3` is three equal stages; the pipeline's own keys are the defaults of its stages.
        let base = try Topology.WorkerPlace(map.filter { shared.contains($0.key) }, base: nil, hosts: hosts)
        guard list.isSequence else {
            let count = try list.integer(1...Topology.stageLimit)
            stages = Array(repeating: base, count: count)
            return
        }
        stages = []
        let entries = try list.sequence(limit: Topology.stageLimit)
        for element in entries {
            let keys = try element.mapping(allowed: shared + ["cpus", "listen"])
            stages.append(try Topology.WorkerPlace(keys, base: base, hosts: hosts))
        }
        try Self.checkLayers(stages, entries, list)
    }

    /// Either no stage names its layers or all do, in order and without a gap.
    private static func checkLayers(
        _ stages: [Topology.WorkerPlace], _ entries: [TopologyNode], _ list: TopologyNode
    ) throws(TopologyError) {
        let named = stages.compactMap(\.layers)
        guard !named.isEmpty else { return }
        guard named.count == stages.count else {
            throw list.error(
                "\(named.count) of \(stages.count) stages name their layers",
                fix: "Give `layers` to all stages or to none.")
        }
        var next = 0
        for (layers, entry) in zip(named, entries) {
            guard layers.lowerBound == next else {
                throw entry.error(
                    "layers start at \(layers.lowerBound), but the stages before hold 0 to \(next - 1)",
                    fix: "Write `layers: \(next)-...`: first and last layer, both inclusive, no gap and no overlap.")
            }
            next = layers.upperBound + 1
        }
    }
}

extension Topology.WorkerPlace {
    /// Keys that every kind of worker has and that several may share.
    fileprivate static let sharedKeys = ["host", "threads", "advertise", "allow_plaintext", "log_level"]

    /// Reads `spares` or `speculators`: a number of equal workers, a mapping with their `count`, or a list.
    static func list(
        _ entry: TopologyNode?, isSpeculator: Bool, hosts: [String: Topology.HostPlace]
    ) throws(TopologyError) -> [Topology.WorkerPlace] {
        guard let entry else { return [] }
        let keys = sharedKeys + ["cpus", "listen"] + (isSpeculator ? [] : ["kv_tokens", "layers"])
        if entry.isSequence {
            var places: [Topology.WorkerPlace] = []
            for element in try entry.sequence(limit: Topology.stageLimit) {
                places.append(
                    try Topology.WorkerPlace(element.mapping(allowed: keys), base: nil, hosts: hosts))
            }
            return places
        }
        guard entry.isMapping else {
            let count = try entry.integer(0...Topology.stageLimit)
            return Array(repeating: try Topology.WorkerPlace([:], base: nil, hosts: hosts), count: count)
        }
        var map = try entry.mapping(allowed: ["count"] + keys)
        let count = try map.removeValue(forKey: "count")?.integer(0...Topology.stageLimit) ?? 1
        if let node = map["layers"], count > 1, !node.isWord("auto") {
            throw node.error("of several workers can only be auto", fix: "Write `layers: auto`, or leave it out.")
        }
        let place = try Topology.WorkerPlace(map, base: nil, hosts: hosts)
        if count > 1, let listen = map["listen"], try !listen.isFreePort() {
            throw listen.error(
                "\(count) workers can't listen at one place",
                fix: "Write `listen: \"tcp://127.0.0.1:*\"`, or a list with one entry a worker.")
        }
        return Array(repeating: place, count: count)
    }

    fileprivate init(
        _ map: [String: TopologyNode], base: Topology.WorkerPlace?, hosts: [String: Topology.HostPlace]
    ) throws(TopologyError) {
        host = try map["host"]?.host(of: hosts) ?? base?.host ?? "localhost"
        if let node = map["layers"], !node.isWord("auto") {
            layers = try node.layerRange()
            measuresSpeed = false
        } else {
            layers = nil
            measuresSpeed = map["layers"] != nil || base?.measuresSpeed == true
        }
        listen = try map["listen"]?.endpoint()
        threads = try map["threads"]?.integer(1...Topology.threadLimit) ?? base?.threads
        cpus = try map["cpus"]?.cpuList()
        kvTokens = try map["kv_tokens"]?.integer(1...Topology.kvLimit) ?? base?.kvTokens
        advertise = try map["advertise"]?.advertisedHost() ?? base?.advertise
        allowPlaintext = try map["allow_plaintext"]?.boolean() ?? base?.allowPlaintext ?? false
        logLevel = try map["log_level"]?.choice("log level", Topology.logLevels) ?? base?.logLevel
    }
}

extension TopologyNode {
    /// Whether this is the word.
    fileprivate func isWord(_ word: String) -> Bool { (try? text()) == word }

    /// Whether the endpoint written here leaves its port to the system.
    fileprivate func isFreePort() throws(TopologyError) -> Bool {
        guard let endpoint = try? Endpoint(try text()), case .tcp(_, let port) = endpoint.transport else {
            return false
        }
        return port == 0
    }
}

extension RestartPolicy {
    /// Reads `restart`: a mapping, or the policy's name alone.
    init(_ entry: TopologyNode?) throws(TopologyError) {
        self.init()
        guard let entry else { return }
        func condition(_ node: TopologyNode) throws(TopologyError) -> Condition {
            Condition(rawValue: try node.choice("restart policy", Condition.allCases.map(\.rawValue))) ?? .always
        }
        guard entry.isMapping else {
            self.condition = try condition(entry)
            return
        }
        let map = try entry.mapping(allowed: ["policy", "backoff", "max_backoff", "give_up", "window"])
        if let node = map["policy"] { self.condition = try condition(node) }
        if let node = map["backoff"] { backoff = try node.seconds(0.01...3600) }
        maxBackoff = try map["max_backoff"]?.seconds(0.01...3600) ?? max(maxBackoff, backoff)
        if let node = map["max_backoff"], maxBackoff < backoff {
            throw node.error("is less than `backoff`", fix: "Make it at least as long, or leave it out.")
        }
        if let node = map["give_up"] { giveUp = try node.integer(1...1000) }
        if let node = map["window"] { window = try node.seconds(1...86_400) }
    }
}
