// The coordinator's place; and the values that places have.

internal import Foundation
internal import Wire
internal import Yams

extension Topology.CoordinatorPlace {
    init(_ entry: TopologyNode?, hosts: [String: Topology.HostPlace]) throws(TopologyError) {
        let map =
            try entry?.mapping(allowed: [
                "host", "http", "listen", "results", "advertise", "allow_plaintext", "threads", "cpus", "kv_tokens",
                "micro_batch_tokens", "max_requests", "max_queued_tokens", "request_timeout", "cors_origin",
                "max_body_bytes", "max_connections", "max_connections_per_address", "drain_time", "replay_wait",
                "max_replays", "stall", "wire_dtype", "trace", "log_level",
            ]) ?? [:]
        host = try map["host"]?.host(of: hosts) ?? "localhost"
        if let node = map["http"] {
            http = try node.text()
            guard Self.isHostAndPort(http) else {
                throw node.error("must be HOST:PORT, found `\(http)`", fix: "Write for example `http: 127.0.0.1:8080`.")
            }
        } else {
            http = "127.0.0.1:8080"
        }
        listen = try map["listen"]?.endpoint()
        results = try map["results"]?.endpoint()
        threads = try map["threads"]?.integer(1...Topology.threadLimit)
        cpus = try map["cpus"]?.cpuList()
        kvTokens = try map["kv_tokens"]?.integer(1...Topology.kvLimit)
        microBatchTokens = try map["micro_batch_tokens"]?.integer(1...Topology.rowLimit)
        maxRequests = try map["max_requests"]?.integer(1...1_000_000)
        maxQueuedTokens = try map["max_queued_tokens"]?.integer(1...Int(Int32.max))
        requestTimeout = try map["request_timeout"]?.integer(1...86_400)
        corsOrigins = try map["cors_origin"]?.origins() ?? []
        maxBodyBytes = try map["max_body_bytes"]?.integer(1024...1 << 30)
        maxConnections = try map["max_connections"]?.integer(1...1_000_000)
        maxConnectionsPerAddress = try map["max_connections_per_address"]?.integer(1...1_000_000)
        drainTime = try map["drain_time"]?.integer(Topology.drainTimes)
        replayWait = try map["replay_wait"]?.integer(Topology.replayWaits)
        maxReplays = try map["max_replays"]?.integer(Topology.replayCounts)
        stall = try map["stall"]?.integer(Topology.stallLimits)
        wireDtype = try map["wire_dtype"]?.choice("number format between stages", ["f32", "bf16"])
        trace = try map["trace"]?.file()
        advertise = try map["advertise"]?.advertisedHost()
        allowPlaintext = try map["allow_plaintext"]?.boolean() ?? false
        logLevel = try map["log_level"]?.choice("log level", Topology.logLevels)
    }

    /// Whether `text` is `HOST:PORT` (an IPv6 host in brackets), port 0 to 65535.
    public static func isHostAndPort(_ text: String) -> Bool {
        guard let colon = text.lastIndex(of: ":"), colon > text.startIndex else { return false }
        let host = text[..<colon]
        let bracketed = host.hasPrefix("[") && host.hasSuffix("]")
        guard bracketed || !host.contains(":"), !host.contains(where: \.isWhitespace) else { return false }
        return UInt16(text[text.index(after: colon)...]) != nil
    }
}

extension TopologyNode {
    /// A ZeroMQ endpoint, `tcp://HOST:PORT` (port `*` or 0 for any) or `ipc://PATH`.
    func endpoint() throws(TopologyError) -> String {
        let text = try text()
        do {
            _ = try Endpoint(text)
        } catch {
            throw self.error("must be an endpoint, found \(error)", fix: "Write for example `tcp://127.0.0.1:*`.")
        }
        return text
    }

    /// One origin of web pages or a list of them; the coordinator looks at them more closely.
    fileprivate func origins() throws(TopologyError) -> [String] {
        var origins: [String] = []
        for entry in isSequence ? try sequence(limit: 256) : [self] {
            let text = try entry.text()
            guard ["*", "null"].contains(text) || text.contains("://") && !text.hasPrefix("-") else {
                throw entry.error(
                    "must be the origin of web pages, found `\(text)`",
                    fix: "Write scheme and host, for example `https://app.example.com`.")
            }
            origins.append(text)
        }
        return origins
    }

    /// A name or address that other hosts can connect to.
    func advertisedHost() throws(TopologyError) -> String {
        let text = try text()
        guard let host = Host(text), !host.isWildcard else {
            throw error(
                "must be a host other hosts can connect to, found `\(text)`", fix: "Write its name or its address.")
        }
        return text
    }

    /// `FIRST-LAST` or one layer, both inclusive.
    func layerRange() throws(TopologyError) -> ClosedRange<Int> {
        let text = try text()
        guard let range = Self.range(Substring(text)), range.upperBound < 4096 else {
            throw error(
                "must be FIRST-LAST, both inclusive, or auto, found `\(text)`",
                fix: "Write for example `layers: 0-3`.")
        }
        return range
    }

    /// A list of CPUs, `0-3,6` or `[0, 1, 2]`, as the flag takes it.
    func cpuList() throws(TopologyError) -> String {
        var parts: [String] = []
        if isSequence {
            for element in try sequence(limit: 4096) { parts.append(String(try element.integer(0...4095))) }
        } else {
            parts = try text().split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        }
        for part in parts {
            guard let range = Self.range(Substring(part)), range.upperBound < 4096 else {
                throw error("must be a list of CPUs, found `\(part)`", fix: "Write for example `cpus: 0-3,6`.")
            }
        }
        return parts.joined(separator: ",")
    }

    private static func range(_ text: Substring) -> ClosedRange<Int>? {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
        guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2, first <= last else {
            return nil
        }
        return Int(first)...Int(last)
    }
}
