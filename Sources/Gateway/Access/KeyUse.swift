// What each key has used, and whether there is more for it. A pure value: events in, verdicts out; time is passed in.

/// Counts requests and tokens of keys, and holds them to their limits.
package struct KeyUse {
    /// A stock that fills at an even pace.
    private struct Bucket {
        /// What it holds when full: a minute's worth.
        let size: Double
        private var level: Double
        private var time: ContinuousClock.Instant

        init(_ size: Int, _ now: ContinuousClock.Instant) {
            self.size = Double(size)
            level = self.size
            time = now
        }

        /// How long until it holds as much as `amount`; zero: it does.
        mutating func wait(for amount: Double, _ now: ContinuousClock.Instant) -> Duration {
            level = min(size, level + max(0, (now - time) / .seconds(60)) * size)
            time = now
            return level >= amount ? .zero : .seconds((amount - level) / size * 60)
        }

        mutating func take(_ amount: Double) { level -= amount }
    }

    private struct Use {
        var name: String
        var limits: APIKeyList.Limits
        var requests: Bucket?
        var tokens: Bucket?
        var running = 0
        var requestCount = 0
        var tokenCount = 0
    }

    /// Why a request must wait.
    package enum Refusal: Equatable {
        case requests(limit: Int, wait: Duration)
        case concurrency(limit: Int)
        case tokens(limit: Int, wait: Duration)
    }

    private var uses: [String: Use] = [:]

    package init() {}

    /// A request begins. nil: it may.
    package mutating func begin(_ entry: APIKeyList.Entry, _ now: ContinuousClock.Instant) -> Refusal? {
        let limits = entry.limits
        var use = uses[entry.id] ?? Use(name: entry.name, limits: limits)
        defer { uses[entry.id] = use }
        // A list that was read again may say other limits.
        if use.limits.requestsPerMinute != limits.requestsPerMinute || use.requests == nil {
            use.requests = limits.requestsPerMinute.map { Bucket($0, now) }
        }
        if use.limits.tokensPerMinute != limits.tokensPerMinute || use.tokens == nil {
            use.tokens = limits.tokensPerMinute.map { Bucket($0, now) }
        }
        use.limits = limits
        if let most = limits.concurrentRequests, use.running >= most { return .concurrency(limit: most) }
        // Only at their ends is known what requests use; so each may begin that finds anything left.
        if let limit = limits.tokensPerMinute, let wait = use.tokens?.wait(for: 1, now), wait > .zero {
            return .tokens(limit: limit, wait: wait)
        }
        if let limit = limits.requestsPerMinute, let wait = use.requests?.wait(for: 1, now), wait > .zero {
            return .requests(limit: limit, wait: wait)
        }
        use.requests?.take(1)
        use.running += 1
        use.requestCount += 1
        return nil
    }

    /// Tokens have been used, of a prompt and its answer.
    package mutating func spend(_ tokens: Int, of id: String, _ now: ContinuousClock.Instant) {
        uses[id]?.tokenCount += tokens
        _ = uses[id]?.tokens?.wait(for: 0, now)
        uses[id]?.tokens?.take(Double(tokens))
    }

    /// A request that began has ended.
    package mutating func end(_ id: String) { uses[id]?.running -= 1 }

    /// Forgets keys that are no more; those with requests under way later.
    package mutating func keep(_ ids: Set<String>) {
        uses = uses.filter { ids.contains($0.key) || $0.value.running > 0 }
    }

    /// What a key has used so far.
    package struct Total: Equatable {
        package var name: String
        package var id: String
        package var requests: Int
        package var running: Int
        package var tokens: Int
    }

    /// By name, then id.
    package var totals: [Total] {
        uses.map {
            Total(
                name: $0.value.name, id: $0.key, requests: $0.value.requestCount, running: $0.value.running,
                tokens: $0.value.tokenCount)
        }.sorted { ($0.name, $0.id) < ($1.name, $1.id) }
    }
}
