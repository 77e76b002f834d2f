// What is wrong with a topology before anything is started: pure, facts of the hosts in, findings out.

import Layers
internal import Settings
internal import Wire

/// A check of a topology that has been read without fault.
public struct Check: Sendable {
    /// A process to be: its key in the file, the host it is on, its plan.
    struct Placed: Sendable {
        var key: String
        var host: String
        var plan: ProcessPlan
        var settings: SettingValues { plan.settings ?? SettingValues(.worker) }
        var model: String? { settings.text("model") }
    }

    let topology: Topology
    let processes: [Placed]

    /// A check of what `plan` would start.
    public init(_ topology: Topology, plan: LaunchPlan) {
        self.topology = topology
        func host(_ plan: ProcessPlan) -> String {
            if case .ssh(let host) = plan.place { host.name } else { "this machine" }
        }
        let stages = topology.pipelines.enumerated().flatMap { index, pipeline in
            pipeline.stages.indices.map { "pipelines[\(index)].stages[\($0)]" }
        }
        let keys =
            stages + topology.speculators.indices.map { "speculators[\($0)]" }
            + topology.spares.indices.map { "spares[\($0)]" }
        processes =
            [Placed(key: "coordinator", host: host(plan.coordinator), plan: plan.coordinator)]
            + zip(keys, plan.workers).map { Placed(key: $0, host: host($1), plan: $1) }
    }

    /// What each host must be asked, by its name; `ssh` is nil for this machine.
    public var questions: [(host: String, ssh: SSHHost?, question: HostQuestion)] {
        var names: [String] = []
        for process in processes where !names.contains(process.host) { names.append(process.host) }
        return names.map { name in
            let own = processes.filter { $0.host == name }
            var question = HostQuestion()
            for process in own {
                let models = [process.model, process.settings.process == .coordinator ? speculator(process) : nil]
                for model in models.compactMap(\.self) where !question.models.contains(model) {
                    question.models.append(model)
                }
                question.endpoints += endpoints(process).map(\.text)
            }
            let ssh: SSHHost? = own.first.flatMap { if case .ssh(let host) = $0.plan.place { host } else { nil } }
            return (name, ssh, question)
        }
    }

    /// Everything that is wrong, the file's own faults first.
    ///
    /// - Parameters:
    ///   - answers: Of each host in ``questions``, by name.
    ///   - version: This program's.
    ///   - clock: Seconds since 1970 when the answers came.
    public func findings(_ answers: [String: HostAnswer], version: String, clock: Double) -> [CheckFinding] {
        var findings = sharedEndpoints
        var facts: [String: HostFacts] = [:]
        for (host, _, _) in questions {
            switch answers[host] {
            case .facts(let told):
                facts[host] = told
                findings += hostFindings(host, told, version: version, clock: clock)
            case .silence(let why):
                findings.append(
                    CheckFinding(.host, "", host: host, why, fix: "See that `ssh` and the program work there."))
            case nil:
                findings.append(CheckFinding(.host, "", host: host, "was not asked", fix: "Ask it."))
            }
        }
        return findings + modelFindings(facts)
    }

    // MARK: endpoints

    private struct Listener {
        var key: String
        var text: String
        var host: String
        var port: UInt16
    }

    /// Where a process listens at a port of its own choice.
    private func endpoints(_ process: Placed) -> [Listener] {
        func listener(_ key: String, _ text: String?) -> Listener? {
            guard let text, let endpoint = try? Endpoint(text), case .tcp(let host, let port) = endpoint.transport,
                port != 0
            else { return nil }
            return Listener(key: "\(process.key).\(key)", text: text, host: host, port: port)
        }
        let settings = process.settings
        var all = [listener("listen", settings.text("listen"))]
        if settings.process == .coordinator {
            all.append(listener("http", settings.text("http").map { "tcp://\($0)" }))
            if let results = settings.text("results") {
                all.append(listener("results", results))
            } else if let listen = all.first ?? nil, listen.port < .max {
                all.append(
                    listener("results", Endpoint(.tcp(host: listen.host, port: listen.port + 1)).description))
            }
        }
        return all.compactMap(\.self)
    }

    /// One port that two processes of a host would bind.
    private var sharedEndpoints: [CheckFinding] {
        var findings: [CheckFinding] = []
        var seen: [(host: String, listener: Listener)] = []
        func isWildcard(_ host: String) -> Bool { Host(host)?.isWildcard == true }
        for process in processes {
            for listener in endpoints(process) {
                let other = seen.first {
                    $0.host == process.host && $0.listener.port == listener.port
                        && ($0.listener.host == listener.host || isWildcard($0.listener.host)
                            || isWildcard(listener.host))
                }
                if let other {
                    findings.append(
                        CheckFinding(
                            .file, listener.key,
                            "port \(listener.port) is \(other.listener.key)'s too, on the same host",
                            fix: "Give each a port of its own."))
                }
                seen.append((process.host, listener))
            }
        }
        return findings
    }

    // MARK: hosts

    private func hostFindings(_ host: String, _ facts: HostFacts, version: String, clock: Double) -> [CheckFinding] {
        var findings: [CheckFinding] = []
        func add(_ severity: CheckFinding.Severity, _ key: String, _ problem: String, _ fix: String) {
            findings.append(CheckFinding(severity, key, host: host, problem, fix: fix))
        }
        let own = processes.filter { $0.host == host }
        if facts.version != version {
            add(.host, "", "the program there is version \(facts.version), here \(version)", "Copy it with --push.")
        }
        if abs(facts.clock - clock) > 2 {
            add(
                .warning, "", "its clock differs by \(Int(abs(facts.clock - clock).rounded())) s",
                "Let chrony or ntpd set it, or logs and traces of hosts do not fit together.")
        }
        for process in own {
            if let cpus = process.settings.numbers("cpus"), !facts.cpus.isEmpty {
                let missing = cpus.filter { !facts.cpus.contains($0) }
                if let first = missing.first {
                    add(
                        .host, "\(process.key).cpus", "there is no CPU \(first) for this process",
                        "It has \(facts.cpus.count), \(facts.cpus[0]) to \(facts.cpus[facts.cpus.count - 1]).")
                }
            }
            for listener in endpoints(process) {
                guard let why = facts.busyEndpoints[listener.text] else { continue }
                add(
                    .host, listener.key, "\(listener.text) can't be bound: \(why)", "Choose another, or end who has it."
                )
            }
        }
        if let level = topology.shared.text("cpu_level"), !facts.cpuLevels.contains(level) {
            add(
                .host, "cpu_level", "its CPU has no level \(level)",
                "Write one of \(facts.cpuLevels.joined(separator: ", ")), or leave it out.")
        }
        if let why = facts.slowProducts[topology.shared.text("dtype") ?? "auto"] {
            add(.warning, "dtype", "multiplies slowly: \(why)", "Install the library, or choose another number format.")
        }
        // Idle processes take no time: a coordinator of speculators computes nothing, a spare waits.
        let busy = own.filter { process in
            switch process.plan.part {
            case .coordinator: topology.speculator != nil && topology.speculators.isEmpty
            case .spare: false
            default: true
            }
        }
        let threads = busy.reduce(0) { $0 + ($1.settings.integer("threads") ?? 1) }
        if let quota = facts.cpuQuota, Double(threads) > quota.rounded(.up) {
            add(
                .warning, "",
                "its processes want \(threads) threads, its cgroup grants \(quota) CPUs (\(facts.quotaFile ?? ""))",
                "Raise the quota, or give them fewer `threads`.")
        } else if !facts.cpus.isEmpty, threads > facts.cpus.count {
            add(
                .warning, "", "its processes want \(threads) threads, it has \(facts.cpus.count) CPUs",
                "Give them fewer `threads`, or other hosts.")
        }
        if let files = facts.openFiles, let coordinator = own.first(where: { $0.settings.process == .coordinator }),
            let connections = coordinator.settings.integer("max_connections"), files < connections + 128
        {
            add(
                .warning, "coordinator.max_connections",
                "\(files) files may be open, \(connections) connections and the rest need \(connections + 128)",
                "Raise the limit (`ulimit -n`, LimitNOFILE=), or fewer requests are answered at a time.")
        }
        findings += memoryFindings(host, own, facts)
        return findings
    }

    /// Weights that do not fit, and the KV rows that the rest of the memory can't hold.
    private func memoryFindings(_ host: String, _ own: [Placed], _ facts: HostFacts) -> [CheckFinding] {
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
        if let layers = process.settings.layers { return layers }
        let depth: Int =
            switch process.plan.part {
            case .stage(let name): topology.pipelines.first { $0.name == name }?.stages.count ?? 1
            default: topology.pipelines.map(\.stages.count).min() ?? 1
            }
        return LayerSpan(0..<(model.layerCount + depth - 1) / max(1, depth))
    }

    private func speculator(_ process: Placed) -> String? { process.settings.text("speculator") }

    // MARK: models

    private func modelFindings(_ facts: [String: HostFacts]) -> [CheckFinding] {
        var findings: [CheckFinding] = []
        var first: [Bool: (host: String, model: HostFacts.Model)] = [:]
        var told: Set<[String]> = []
        for process in processes {
            let isMain = process.plan.part != .speculator
            var paths = [(process.model, isMain)]
            if process.settings.process == .coordinator { paths.append((speculator(process), false)) }
            for case (let path?, let isMain) in paths {
                guard let model = facts[process.host]?.models[path], told.insert([process.host, path]).inserted else {
                    continue
                }
                let key = isMain ? "model" : "speculator"
                if let problem = model.problem {
                    findings.append(
                        CheckFinding(
                            .host, key, host: process.host, "\(path): \(problem)",
                            fix: "Put the model there, or say with `folder` where that host has it."))
                    continue
                }
                if let (host, same) = first[isMain], same.fingerprint != model.fingerprint {
                    findings.append(
                        CheckFinding(
                            .host, key, host: process.host, "\(path) has other weights than on \(host)",
                            fix: "Copy the same files to both."))
                } else if first[isMain] == nil {
                    first[isMain] = (process.host, model)
                }
            }
        }
        if let main = first[true]?.model, let small = first[false]?.model, main.tokenizer != small.tokenizer {
            findings.append(
                CheckFinding(
                    .file, "speculator", "has another tokenizer than the main model",
                    fix: "Name a speculator of the same family of models; a pair must share one."))
        }
        if let main = first[true]?.model { findings += layerFindings(main.layerCount) }
        return findings
    }

    /// Pipelines that are deeper than the model, or do not hold all of it.
    private func layerFindings(_ count: Int) -> [CheckFinding] {
        topology.pipelines.enumerated().flatMap { index, pipeline -> [CheckFinding] in
            let key = "pipelines[\(index)].stages"
            guard pipeline.stages.count <= count else {
                return [
                    CheckFinding(
                        .file, key, "there are \(pipeline.stages.count) stages for \(count) layers",
                        fix: "Write at most \(count).")
                ]
            }
            guard let end = pipeline.stages.last?.layers?.bounds.upperBound,
                end != LayerSpan(0..<count).bounds.upperBound
            else { return [] }
            return [
                CheckFinding(
                    .file, "\(key)[\(pipeline.stages.count - 1)].layers",
                    "the stages hold layers \(LayerSpan(bounds: 0..<end)), the model has \(LayerSpan(0..<count))",
                    fix: "Let the last stage end with \(count - 1).")
            ]
        }
    }
}
