// Connections that were not let in, and why.

/// Connections of strangers: how many for each reason, and the last of them.
package struct Refusals: Equatable, Sendable {
    /// Why a connection was not let in, or was ended. The raw values are labels of a metric.
    package enum Reason: String, CaseIterable, Sendable {
        /// Its key is not on the list, or not one that is expected on this edge.
        case unknownKey = "unknown_key"
        /// Links are plain text, and it gave a name that is not expected on this edge.
        case unknownName = "unknown_name"
        /// Another mechanism than this socket's: plain text where links have keys, or the other way round.
        case noKey = "no_key"
        /// What it says of its key does not hold: it takes this process for another, or says again what another has said.
        case forged
        /// No ZMTP of a version that is spoken here, or a frame that is too long.
        case malformed
        /// Its handshake was not done in time.
        case slow
        /// It closed the connection before the handshake was done.
        case left
        /// Too many connections at once.
        case flood
        /// A process of another user of this host, where no keys are asked for.
        case otherUser = "other_user"
        /// It was let in once and no longer is.
        case revoked
        /// Its key may join, but as another or as something else.
        case misplaced
    }

    /// Only reasons that there were.
    package private(set) var counts: [Reason: Int] = [:]
    /// The last one's address, and what it showed; empty at first.
    package private(set) var last = ""

    package init() {}

    package var count: Int { counts.values.reduce(0, +) }
    package var isEmpty: Bool { counts.isEmpty }

    package mutating func add(_ reason: Reason, _ last: String) {
        counts[reason, default: 0] += 1
        self.last = last
    }

    package mutating func add(_ other: Refusals) {
        counts.merge(other.counts, uniquingKeysWith: Self.sum)
        if !other.isEmpty { last = other.last }
    }

    /// What has been added to counts that only grow.
    package static func growth(_ counts: [Reason: Int], since earlier: [Reason: Int]) -> Refusals {
        var growth = Refusals()
        growth.counts = counts.reduce(into: [:]) { growth, entry in
            let (before, now) = (max(0, earlier[entry.key] ?? 0), entry.value)
            if now > before { growth[entry.key] = now - before }
        }
        return growth
    }

    /// Counts of other processes are their word: one that is too large takes nobody down.
    package static func sum(_ a: Int, _ b: Int) -> Int {
        let (sum, overflow) = a.addingReportingOverflow(b)
        return overflow ? .max : sum
    }

    /// `no_key=2 slow=1`, in the order of the reasons.
    package var summary: String {
        Reason.allCases.compactMap { reason in counts[reason].map { "\(reason.rawValue)=\($0)" } }
            .joined(separator: " ")
    }
}
