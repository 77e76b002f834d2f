// Who was turned away before being heard: counted each time, logged once a second.

package import Logging
import Synchronization

/// Counts refusals by their reason. However many there are, the log gets a line a second of each reason.
package final class Refusals: Sendable {
    /// Why a client got nothing.
    package enum Reason: String, CaseIterable, Sendable {
        case noKey = "no_key"
        case wrongKey = "wrong_key"
        case expiredKey = "expired_key"
        case forbidden
        case rateLimit = "rate_limit"
        case connections
        case badHTTP = "bad_http"
        case slowHead = "slow_head"
        case slowBody = "slow_body"
        case slowReader = "slow_reader"
        case handshake = "tls_handshake"
        case slowHandshake = "slow_tls_handshake"
        case manyHandshakes = "many_tls_handshakes"
    }

    private struct Count {
        var total = 0
        /// Since the last line.
        var silent = 0
        var logged: ContinuousClock.Instant?
        var from = ""
    }

    /// From one line about a reason to the next.
    private static let interval = Duration.seconds(1)

    private let counts = Mutex<[Reason: Count]>([:])
    private let logger: Logger

    package init(logger: Logger) { self.logger = logger }

    /// Counts one. Returns how many there were since the last line, for a line that is due now; nil: be silent.
    func count(_ reason: Reason, from address: String) -> Int? {
        counts.withLock { counts in
            counts[reason, default: Count()].total += 1
            counts[reason, default: Count()].from = address
            let now = ContinuousClock.now
            if let logged = counts[reason]?.logged, now - logged < Self.interval {
                counts[reason]?.silent += 1
                return nil
            }
            defer {
                counts[reason]?.silent = 0
                counts[reason]?.logged = now
            }
            return 1 + (counts[reason]?.silent ?? 0)
        }
    }

    /// Counts one and logs it, if a line is due.
    func note(_ reason: Reason, from address: String) {
        if let count = count(reason, from: address) { log(reason, count, address) }
    }

    /// Logs what was passed over in silence and is a second old.
    func flush() {
        let now = ContinuousClock.now
        let due = counts.withLock { counts in
            counts.compactMap { reason, count -> (Reason, Int, String)? in
                guard count.silent > 0, let logged = count.logged, now - logged >= Self.interval else { return nil }
                counts[reason]?.silent = 0
                counts[reason]?.logged = now
                return (reason, count.silent, count.from)
            }
        }
        for (reason, count, address) in due { log(reason, count, address) }
    }

    private func log(_ reason: Reason, _ count: Int, _ address: String) {
        logger.warning(
            "refused", metadata: ["reason": "\(reason.rawValue)", "count": "\(count)", "last_from": "\(address)"])
    }

    /// By reason, all of them.
    var totals: [(reason: Reason, count: Int)] {
        counts.withLock { counts in Reason.allCases.map { ($0, counts[$0]?.total ?? 0) } }
    }
}
