// Weights and KV rows against the memory of a host, and where quantised weights are kept.

internal import Layers
internal import Settings

extension Check {
    /// Weights that do not fit, and the KV rows that the rest of the memory can't hold.
    func memoryFindings(_ host: String, _ own: [Placed], _ facts: HostFacts) -> [CheckFinding] {
        guard let memory = facts.memory else { return [] }
        let isFast = facts.cpuLevels.contains { $0 != "portable" }
        let dtype = topology.shared.text("dtype").flatMap { $0 == "auto" ? nil : $0 } ?? (isFast ? "bf16" : "f32")
        let weight = dtype == "f32" ? 4 : dtype == "bf16" ? 2 : 1
        var (weights, rows) = (0, 0)
        for process in own {
            let isScorer =
                process.settings.process == .coordinator
                ? topology.speculators.isEmpty : process.plan.part == .speculator
            let path = process.settings.process == .coordinator ? speculator(process) : process.model
            guard let path, let model = facts.models[path], model.problem == nil, model.layerCount > 0 else { continue }
            guard process.settings.process == .worker || isScorer else { continue }
            let layers = isScorer ? LayerSpan(0..<model.layerCount) : share(of: process, model)
            weights += weight * (model.layerParameters * layers.sublayers.count / (2 * model.layerCount))
            if isScorer || !layers.isEmpty {
                weights += 2 * model.outerParameters / (isScorer ? 1 : max(1, topology.stageCount))
            }
            if !isScorer { rows += (dtype == "f32" ? 4 : 2) * model.cacheValues * layers.attention.count }
        }
        let limit = facts.memoryFile.map { " within \($0)" } ?? ""
        func text(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20) MiB" }
        if weights > memory {
            return [
                CheckFinding(
                    .host, "", host: host,
                    "the weights of its processes take \(text(weights)) in \(dtype), \(text(memory)) are free\(limit)",
                    fix: "Give it fewer layers or processes, write `dtype: int8`, or raise the limit.")
            ]
        }
        let tokens = processes.first?.settings.integer("kv_tokens") ?? 0
        guard rows > 0, weights + rows * tokens > memory else { return [] }
        return [
            CheckFinding(
                .warning, "coordinator.kv_tokens", host: host,
                "weights and \(tokens) KV rows take \(text(weights + rows * tokens)), \(text(memory)) are free\(limit): about "
                    + "\((memory - weights) / rows) rows fit",
                fix: "Write fewer `kv_tokens`; fewer requests then run at a time.")
        ]
    }

    /// Layers a stage or spare will hold: its own, or an equal part.
    private func share(of process: Placed, _ model: HostFacts.Model) -> LayerSpan {
        if let layers = process.settings.layers ?? model.heldLayers { return layers }
        let depth: Int =
            switch process.plan.part {
            case .stage(let name): topology.pipelines.first { $0.name == name }?.stages.count ?? 1
            default: topology.pipelines.map(\.stages.count).min() ?? 1
            }
        return LayerSpan(0..<(model.layerCount + depth - 1) / max(1, depth))
    }

    // MARK: the weights cache

    /// The folder a process keeps quantised weights in, empty for the default one; nil: it has none to keep, or shall not.
    func cache(_ process: Placed) -> String? {
        let computes = process.settings.process == .worker || topology.speculator != nil && topology.speculators.isEmpty
        guard topology.shared.text("dtype") == "int8", computes else { return nil }
        let folder = process.settings.said("weights_cache").last ?? ""
        return folder == SettingKind.noFolder ? nil : folder
    }

    /// Folders that nothing can be kept in. Less room than all weights take is no fault: as much as fits is kept.
    func cacheFindings(_ host: String, _ own: [Placed], _ facts: HostFacts) -> [CheckFinding] {
        var told: Set<String> = []
        return own.compactMap { process in
            guard let folder = cache(process), told.insert(folder).inserted, let cache = facts.caches[folder],
                let problem = cache.problem
            else { return nil }
            return CheckFinding(
                .warning, "\(process.key).weights_cache", host: host,
                "\(cache.path): \(problem), so weights are quantised again at each start",
                fix: "Name a folder that can be written, or `none`.")
        }
    }
}
