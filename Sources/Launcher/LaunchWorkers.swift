// The workers of a launch and their arguments; and a coordinator that comes back where it was.

internal import Wire

extension LaunchPlan {
    /// Stages, speculators and spares, in this order.
    static func workers(of topology: Topology, _ shares: CPUShares?) -> [ProcessPlan] {
        // A spare serves any pipeline, so a stage says which one it belongs to where there are spares too.
        let namesPipelines = topology.pipelines.count > 1 || !topology.spares.isEmpty
        let stages = topology.pipelines.flatMap { pipeline in pipeline.stages.map { (pipeline.name, $0) } }
        var plans = stages.enumerated().map { index, stage in
            worker(
                "worker-\(index)", .stage(pipeline: stage.0), stage.1, topology, cpus: shares?.stages[index],
                words: ["--model", topology.model] + option("--pipeline", namesPipelines ? stage.0 : nil))
        }
        plans += topology.speculators.enumerated().map { index, place in
            worker(
                "speculator-\(index)", .speculator, place, topology, cpus: shares?.speculators[index],
                words: ["--role", "speculator", "--model", topology.speculator ?? topology.model])
        }
        plans += topology.spares.enumerated().map { index, place in
            worker(
                "spare-\(index)", .spare, place, topology, cpus: shares?.spares[index],
                words: ["--model", topology.model])
        }
        return plans
    }

    private static func worker(
        _ name: String, _ part: ProcessPlan.Part, _ place: Topology.WorkerPlace, _ topology: Topology, cpus: [Int]?,
        words: [String]
    ) -> ProcessPlan {
        let arguments =
            ["worker"] + words + ["--listen", place.listen, "--name", name]
            + option("--layers", place.measuresSpeed ? "auto" : place.layers.map { Range($0).layersText })
            + option("--threads", place.threads)
            + option("--cpus", place.cpus ?? cpus.map(CPUShares.text))
            + option("--dtype", topology.dtype)
            + option("--cpu-level", topology.cpuLevel)
            + option("--kv-tokens", place.kvTokens)
            + option("--advertise", place.advertise)
            + flag("--allow-plaintext", place.allowPlaintext)
            + option("--log-level", place.logLevel)
        return ProcessPlan(
            name: name, part: part, arguments: arguments + [endWithInput], environment: topology.environment)
    }

    /// The coordinator started once more, where workers and clients look for it: a port that was left to the system is
    /// now the one it gave.
    ///
    /// - Parameters:
    ///   - endpoint: The endpoint from its `listening` line, nil before it has written one.
    ///   - url: The URL from its `ready` line, likewise.
    func coordinator(listeningAt endpoint: String?, servingAt url: String?) -> ProcessPlan {
        var again = coordinator
        if let endpoint, let bound = try? Endpoint(endpoint), case .tcp(_, let port) = bound.transport {
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
