// The workers of a launch and their arguments; and a coordinator that comes back where it was.

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
                cpus: shares?.stages[index], model: topology.model,
                words: option("--pipeline", namesPipelines ? stage.0 : nil))
        }
        plans += topology.speculators.enumerated().map { index, place in
            worker(
                "speculator-\(index)", .speculator, place, topology, places, number: next(),
                cpus: shares?.speculators[index], model: topology.speculator ?? topology.model,
                words: ["--role", "speculator"])
        }
        plans += topology.spares.enumerated().map { index, place in
            worker(
                "spare-\(index)", .spare, place, topology, places, number: next(), cpus: shares?.spares[index],
                model: topology.model)
        }
        return plans
    }

    private static func worker(
        _ name: String, _ part: ProcessPlan.Part, _ place: Topology.WorkerPlace, _ topology: Topology,
        _ places: Places, number: (Int, hasFixedPorts: Bool), cpus: [Int]?, model: String, words: [String] = []
    ) -> ProcessPlan {
        let address = topology.workerAddress(
            place, number: number.0, hasFixedPorts: number.hasFixedPorts)
        let arguments =
            ["worker", "--model", places.path(model, on: place.host)] + words
            + ["--listen", address.listen, "--name", name]
            + option("--layers", place.measuresSpeed ? "auto" : place.layers.map { Range($0).layersText })
            + option("--threads", place.threads)
            + option("--cpus", place.cpus ?? cpus.map(CPUShares.text))
            + option("--dtype", topology.dtype)
            + option("--cpu-level", topology.cpuLevel)
            + option("--kv-tokens", place.kvTokens)
            + option("--advertise", address.advertise)
            + flag("--allow-plaintext", place.allowPlaintext)
            + option("--log-level", place.logLevel)
        return ProcessPlan(
            name: name, part: part, arguments: arguments + [endWithInput], environment: topology.environment,
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
        if let endpoint, let bound = try? Endpoint(endpoint), case .tcp(_, let port) = bound.transport {
            // The port after one that the system chose may be anyone's.
            if let index = again.arguments.firstIndex(of: "--listen"), !again.arguments.contains("--results"),
                let asked = try? Endpoint(again.arguments[index + 1]), case .tcp(let host, 0) = asked.transport
            {
                again.arguments.insert(
                    contentsOf: ["--results", Endpoint(.tcp(host: host, port: 0)).description], at: index + 2)
            }
            again.replace("--listen") { listen in
                guard let asked = try? Endpoint(listen), case .tcp(let host, 0) = asked.transport else { return listen }
                return Endpoint(.tcp(host: host, port: port)).description
            }
        }
        if let url, let port = url.split(separator: ":").last.flatMap({ UInt16($0) }) {
            again.replace("--http") { http in
                http.hasSuffix(":0") ? http.dropLast() + String(port) : http
            }
        }
        return again
    }
}

extension ProcessPlan {
    /// Changes the value of an option that has one.
    fileprivate mutating func replace(_ option: String, with value: (String) -> String) {
        guard let index = arguments.firstIndex(of: option), index + 1 < arguments.count else { return }
        arguments[index + 1] = value(arguments[index + 1])
    }
}
