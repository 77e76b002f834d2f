// What is wrong with a topology before anything is started: pure, facts of the hosts in, findings out.

internal import Settings
internal import Wire

/// A check of a topology that has been read without fault.
public struct Check: Sendable {
    /// A process to be: its key in the file, the host it is on, its plan.
    struct Placed: Sendable {
        var key: String
        var host: String
        var plan: ProcessPlan
        /// Whether the file names a model for it alone.
        var hasOwnModel = false
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
            + zip(keys, zip(plan.workers, topology.workerPlaces)).map { key, worker in
                Placed(
                    key: key, host: host(worker.0), plan: worker.0, hasOwnModel: worker.1.settings.isSaid("model"))
            }
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
                if process.settings.process == .coordinator || process.plan.part == .speculator {
                    question.tokenizers += models.compactMap(\.self).filter { !question.tokenizers.contains($0) }
                }
                question.endpoints += endpoints(process).map(\.text)
                if let cache = cache(process), !question.caches.contains(cache) { question.caches.append(cache) }
            }
            let ssh: SSHHost? = own.first.flatMap { if case .ssh(let host) = $0.plan.place { host } else { nil } }
            return (name, ssh, question)
        }
    }

    /// Everything that is wrong, the file's own faults first.
    ///
    /// - Parameters:
    ///   - answers: Of the hosts in ``questions``.
    ///   - version: This program's.
    ///   - keys: Of the folder of keys that the file names.
    public func findings(_ answers: CheckAnswers, version: String, keys: KeyFacts? = nil) -> [CheckFinding] {
        var findings = sharedEndpoints
        findings += (keys?.problems ?? []).map { CheckFinding(.host, "keys", $0.problem, fix: $0.fix) }
        var facts: [String: HostFacts] = [:]
        for (host, ssh, _) in questions {
            switch answers.hosts[host] {
            case .facts(let told):
                facts[host] = told
                findings += hostFindings(host, told, version: version)
            case .silence(let why):
                let there = ssh.map { "`ssh \($0.destination) \($0.executable) --version`" } ?? "the program"
                findings.append(
                    CheckFinding(
                        .host, "hosts.\(host)", host: host, why,
                        fix: "See that \(there) works without a password and says \(version); "
                            + "`winnow launch --push` copies the program there."))
            case nil:
                findings.append(CheckFinding(.host, "hosts.\(host)", host: host, "was not asked", fix: "Ask it."))
            }
        }
        return findings + modelFindings(facts) + reachFindings(answers.unreached)
    }

    // MARK: endpoints

    struct Listener {
        /// The setting that says it, and its key in the file.
        var kind: String
        var key: String
        /// As it is bound, and as other hosts connect to it.
        var text: String
        var known: String
        var host: String
        var port: UInt16
    }

    /// Where a process listens at a port of its own choice.
    func endpoints(_ process: Placed) -> [Listener] {
        func listener(_ key: String, _ text: String?) -> Listener? {
            guard let text, let endpoint = try? Endpoint(text), case .tcp(let host, let port) = endpoint.transport,
                port != 0
            else { return nil }
            let advertise = process.settings.text("advertise").map(HostAddress.bracketed)
            return Listener(
                kind: key, key: "\(process.key).\(key)", text: text,
                known: advertise.map { endpoint.advertised(as: $0).description } ?? text, host: host, port: port)
        }
        let settings = process.settings
        var all = [listener("listen", settings.text("listen"))]
        if settings.process == .coordinator {
            for key in ["http", "admin"] { all.append(listener(key, settings.text(key).map { "tcp://\($0)" })) }
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

    private func hostFindings(_ host: String, _ facts: HostFacts, version: String) -> [CheckFinding] {
        var findings: [CheckFinding] = []
        func add(_ severity: CheckFinding.Severity, _ key: String, _ problem: String, _ fix: String) {
            findings.append(CheckFinding(severity, key, host: host, problem, fix: fix))
        }
        let own = processes.filter { $0.host == host }
        if facts.version != version {
            add(.host, "", "the program there is version \(facts.version), here \(version)", "Copy it with --push.")
        }
        if abs(facts.clock) > 2 {
            add(
                .warning, "",
                "its clock is \(Int(abs(facts.clock).rounded())) s \(facts.clock > 0 ? "ahead" : "behind")",
                "Let chrony or ntpd set it, or logs and traces of hosts do not fit together.")
        }
        for process in own {
            if let cpus = process.settings.numbers("cpus"), !facts.cpus.isEmpty {
                let missing = cpus.filter { !facts.cpus.contains($0) }
                if let first = missing.first {
                    add(
                        .host, "\(process.key).cpus", "there is no CPU \(first) for this process",
                        "Name some of its \(counted(facts.cpus.count, "CPU")), \(facts.cpus[0]) to \(facts.cpus[facts.cpus.count - 1])."
                    )
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
        findings += cacheFindings(host, own, facts)
        return findings + memoryFindings(host, own, facts)
    }

    func speculator(_ process: Placed) -> String? { process.settings.text("speculator") }
}
