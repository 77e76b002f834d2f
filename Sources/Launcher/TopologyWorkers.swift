// The workers of a topology file: the stages of pipelines, spares and speculators; and what becomes of them.

import Layers
internal import Settings

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
        for (index, element) in try entry.sequence(limit: Setting.pipelineLimit).enumerated() {
            let read = element.faults.attempt { () throws(TopologyError) in
                try Topology.Pipeline(element, index: index, hosts: hosts)
            }
            guard let pipeline = read else { continue }
            if pipelines.contains(where: { $0.name == pipeline.name }) {
                element.faults.add(
                    (try element.entry("name") ?? element).error(
                        "another pipeline is called `\(pipeline.name)`", fix: "Give each a `name` of its own."))
            }
            pipelines.append(pipeline)
        }
        return pipelines
    }

    private init(_ entry: TopologyNode, index: Int, hosts: [String: Topology.HostPlace]) throws(TopologyError) {
        let shared = ["host"] + Setting.all(in: .pipeline).map(\.name)
        let map = try entry.mapping(allowed: ["name", "stages"] + shared)
        if let node = map["layers"], !node.isWord("auto") {
            throw node.error(
                "of a whole pipeline can only be auto", fix: "Write `layers: auto`, or give each stage its own layers.")
        }
        name = index == 0 ? Self.defaultName : "pipeline-\(index)"
        if let node = map["name"] {
            name = try node.text()
            guard SettingKind.isName(name) else {
                throw node.error(
                    "must be 1 to 64 letters, digits, `-`, `_` and `.`, found `\(name)`",
                    fix: "Write for example `name: fast`.")
            }
        }
        guard let list = map["stages"] else {
            throw entry.error("`stages` is missing", fix: "Write `stages: 3`, or a list with one entry a stage.")
        }
        // `stages: 3` is three equal stages; the pipeline's own keys are the defaults of its stages.
        let base = Topology.WorkerPlace(map.filter { shared.contains($0.key) }, base: nil, hosts: hosts)
        guard list.isSequence else {
            let count = try list.integer(Setting.stageRange)
            stages = Array(repeating: base, count: count)
            return
        }
        stages = []
        let entries = try list.sequence(limit: Topology.stageLimit)
        let keys = ["host"] + Topology.WorkerPlace.keys([.worker, .mainWorker])
        for element in entries {
            let map = entry.faults.attempt { () throws(TopologyError) in try element.mapping(allowed: keys) } ?? [:]
            stages.append(Topology.WorkerPlace(map, base: base, hosts: hosts))
        }
        entry.faults.attempt { () throws(TopologyError) in try Self.checkLayers(stages, entries, list) }
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
            guard layers.bounds.lowerBound == next else {
                let layer = 2 * LayerSpan.unit
                let first = LayerSpan(bounds: next..<(next / layer + 2) * layer).description.prefix { $0 != "-" }
                throw entry.error(
                    "has layers \(layers), but the stages before hold \(LayerSpan(bounds: 0..<next))",
                    fix: "Write `layers: \(first)-...`: first and last layer, both inclusive, no gap and no overlap.")
            }
            next = layers.bounds.upperBound
        }
    }
}

extension Topology.WorkerPlace {
    /// The keys of places that `homes` describe.
    fileprivate static func keys(_ homes: Set<Setting.Home>) -> [String] {
        Setting.all(of: .worker).filter { !$0.homes.isDisjoint(with: homes) }.map(\.name)
    }

    /// Reads `spares` or `speculators`: a number of equal workers, a mapping with their `count`, or a list.
    static func list(
        _ entry: TopologyNode?, isSpeculator: Bool, hosts: [String: Topology.HostPlace]
    ) throws(TopologyError) -> [Topology.WorkerPlace] {
        guard let entry else { return [] }
        let keys = ["host"] + keys(isSpeculator ? [.worker] : [.worker, .mainWorker])
        if entry.isSequence {
            var places: [Topology.WorkerPlace] = []
            for element in try entry.sequence(limit: Topology.stageLimit) {
                let map = entry.faults.attempt { () throws(TopologyError) in try element.mapping(allowed: keys) }
                places.append(Topology.WorkerPlace(map ?? [:], base: nil, hosts: hosts))
            }
            return places
        }
        guard entry.isMapping else {
            let count = try entry.integer(0...Topology.stageLimit)
            return Array(repeating: Topology.WorkerPlace([:], base: nil, hosts: hosts), count: count)
        }
        var map = try entry.mapping(allowed: ["count"] + keys)
        let count = try map.removeValue(forKey: "count")?.integer(0...Topology.stageLimit) ?? 1
        if let node = map["layers"], count > 1, !node.isWord("auto") {
            throw node.error("of several workers can only be auto", fix: "Write `layers: auto`, or leave it out.")
        }
        let place = Topology.WorkerPlace(map, base: nil, hosts: hosts)
        if count > 1, let listen = map["listen"], try !listen.isFreePort() {
            throw listen.error(
                "\(count) workers can't listen at one place",
                fix: "Write `listen: \"tcp://127.0.0.1:*\"`, or a list with one entry a worker.")
        }
        return Array(repeating: place, count: count)
    }

    fileprivate init(_ map: [String: TopologyNode], base: Topology.WorkerPlace?, hosts: [String: Topology.HostPlace]) {
        host = base?.host ?? "localhost"
        if let node = map["host"],
            let name = node.faults.attempt({ () throws(TopologyError) in try node.host(of: hosts) })
        {
            host = name
        }
        settings = SettingValues(.worker)
        settings.read(map, Setting.all(of: .worker))
        if let base { settings = settings.over(base.settings) }
    }
}

extension TopologyNode {
    /// Whether this is the word.
    fileprivate func isWord(_ word: String) -> Bool { (try? text()) == word }
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
