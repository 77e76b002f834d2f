// Which host connects to which, and what it means when one can't.

internal import Wire

extension Check {
    /// A way from one host to another that processes will take.
    package struct Crossing: Hashable {
        /// The listener's key in the file.
        package var key: String
        package var from: String
        package var to: String
        /// As the listener binds it, and as others connect to it.
        package var bound: String
        package var endpoint: String
    }

    /// All of them: workers to their coordinator, the coordinator to its workers, and workers whose pipeline may be one.
    package var crossings: [Crossing] {
        var found: Set<Crossing> = []
        func cross(from: Placed, to: Placed, _ kinds: Set<String>) {
            guard from.host != to.host else { return }
            for listener in endpoints(to) where kinds.contains(listener.kind) {
                found.insert(
                    Crossing(
                        key: listener.key, from: from.host, to: to.host, bound: listener.text,
                        endpoint: listener.known))
            }
        }
        guard let coordinator = processes.first else { return [] }
        for worker in processes.dropFirst() {
            cross(from: worker, to: coordinator, ["listen", "results"])
            cross(from: coordinator, to: worker, ["listen"])
            for other in processes.dropFirst() where worker.mayHandRows(to: other) {
                cross(from: worker, to: other, ["listen"])
            }
        }
        return found.sorted { ($0.key, $0.from, $0.endpoint) < ($1.key, $1.from, $1.endpoint) }
    }

    /// Ways that are closed, a finding for each listener and reason.
    func reachFindings(_ unreached: [String: [String: String]]) -> [CheckFinding] {
        struct Closed: Hashable {
            var key: String
            var to: String
            var endpoint: String
            var why: String
        }
        var hosts: [Closed: [String]] = [:]
        var order: [Closed] = []
        for crossing in crossings {
            guard let why = unreached[crossing.from]?[crossing.endpoint] else { continue }
            let closed = Closed(key: crossing.key, to: crossing.to, endpoint: crossing.endpoint, why: why)
            if hosts[closed] == nil { order.append(closed) }
            hosts[closed, default: []].append(crossing.from)
        }
        return order.map { closed in
            let from = hosts[closed] ?? []
            return CheckFinding(
                .host, closed.key, host: closed.to,
                "\(closed.endpoint) can't be reached from \(from.joined(separator: ", ")): \(closed.why)",
                fix:
                    "Let a firewall on the way pass that port, or correct the host's `address`; `advertise` says another name."
            )
        }
    }
}

extension Check.Placed {
    /// Whether some assignment makes this worker the neighbour before another.
    fileprivate func mayHandRows(to other: Check.Placed) -> Bool {
        switch (plan.part, other.plan.part) {
        case (.stage(let one), .stage(let two)): one == two
        case (.stage, .spare), (.spare, .stage), (.spare, .spare): true
        default: false
        }
    }
}
