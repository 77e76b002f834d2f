// The workers of a launch and their arguments; and a coordinator that comes back where it was.

internal import Settings
internal import Wire

extension LaunchPlan {
    /// Stages, speculators and spares, in this order.
    static func workers(of topology: Topology, _ shares: CPUShares?, _ places: Places, hasFixedPorts: Bool)
        -> [ProcessPlan]
    {
        var number = 0
        func next() -> (Int, Bool) {
            defer { number += 1 }
            return (number, hasFixedPorts)
        }
        // A spare serves any pipeline, so a stage says which one it belongs to where there are spares too.
        let namesPipelines = topology.pipelines.count > 1 || !topology.spares.isEmpty
        let stages = topology.pipelines.flatMap { pipeline in pipeline.stages.map { (pipeline.name, $0) } }
        var plans = stages.enumerated().map { index, stage in
            worker(
                "worker-\(index)", .stage(pipeline: stage.0), stage.1, topology, places, number: next(),
                cpus: shares?.stages[index]
            ) { if namesPipelines { $0.set("pipeline", stage.0) } }
        }
        plans += topology.speculators.enumerated().map { index, place in
            worker(
                "speculator-\(index)", .speculator, place, topology, places, number: next(),
                cpus: shares?.speculators[index]
            ) {
                $0.set("role", "speculator")
                $0.set("model", topology.speculator)
            }
        }
        plans += topology.spares.enumerated().map { index, place in
            worker("spare-\(index)", .spare, place, topology, places, number: next(), cpus: shares?.spares[index]) {
                _ in
            }
        }
        return plans
    }

    private static func worker(
        _ name: String, _ part: ProcessPlan.Part, _ place: Topology.WorkerPlace, _ topology: Topology,
        _ places: Places, number: (Int, hasFixedPorts: Bool), cpus: [Int]?, change: (inout SettingValues) -> Void
    ) -> ProcessPlan {
        let address = topology.workerAddress(place, number: number.0, hasFixedPorts: number.hasFixedPorts)
        var settings = place.settings
        // What is said at the top for all, as far as workers have it and say nothing else; a name there is the model's.
        for setting in topology.shared.saidSettings
        where Setting.named(setting.name, of: .worker) != nil && setting.name != "name"
            && !settings.isSaid(setting.name)
        {
            settings.set(setting.name, to: topology.shared.said(setting.name))
        }
        settings.set("name", name)
        settings.set("listen", address.listen)
        settings.set("advertise", address.advertise)
        if !settings.isSaid("cpus") { settings.set("cpus", cpus.map(CPUShares.text)) }
        settings.set("exit_with_stdin", "true")
        change(&settings)
        settings.movePaths { places.path($0, on: place.host) }
        return ProcessPlan(
            name: name, part: part, settings: settings, environment: topology.environment,
            place: places.place(of: place.host))
    }

    /// The coordinator started once more, where workers and clients look for it: a port that was left to the system is
    /// now the one it gave.
    ///
    /// - Parameters:
    ///   - endpoint: The endpoint from its `listening` line, nil before it has written one.
    ///   - url: The URL from its `ready` line, likewise.
    package func coordinator(listeningAt endpoint: String?, servingAt url: String?) -> ProcessPlan {
        var again = coordinator
        if let endpoint, let bound = try? Endpoint(endpoint), case .tcp(_, let port) = bound.transport,
            let listen = again.settings?.text("listen"), let asked = try? Endpoint(listen),
            case .tcp(let host, 0) = asked.transport
        {
            // The port after one that the system chose may be anyone's.
            if again.settings?.isSaid("results") == false {
                again.set("results", Endpoint(.tcp(host: host, port: 0)).description)
            }
            again.set("listen", Endpoint(.tcp(host: host, port: port)).description)
        }
        if let url, let port = url.split(separator: ":").last.flatMap({ UInt16($0) }),
            let http = again.settings?.text("http"), http.hasSuffix(":0")
        {
            again.set("http", http.dropLast() + String(port))
        }
        return again
    }
}
