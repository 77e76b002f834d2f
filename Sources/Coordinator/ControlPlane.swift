// What the coordinator decides, as one value: its state, readiness, and the passing of time.

import DequeModule
import Layers
package import Logging
import OutsideText
import Speculation
import Transformer
package import Wire

/// All that the coordinator decides, as one pure value: events and their times in, directives out.
///
/// It holds who is there (``Membership``), the pipelines and speculators that stand (``Line``), what each pipeline has to
/// do (``Scheduler``), and every request (``RequestTable``). After each event it makes what is like what should be; a
/// message that was lost is made good by the next one.
package struct ControlPlane: Sendable {
    package typealias Instant = ContinuousClock.Instant

    package enum Directive: Sendable {
        case tell(PeerID, Desired)
        /// Connect to a line's first stage.
        case open(line: Int, to: String, key: PublicKey?)
        case close(line: Int)
        /// Packets wait to be sent to a line's first stage; see ``next(_:)``.
        case flush(line: Int)
        /// The only peers whose results are taken.
        case allow(Set<Guest>)
        case request(RequestTable.Directive)
        /// Score a prompt in this process.
        case score(UInt64)
        /// For the drafter in this process.
        case draft(DraftOrder)
        /// `nil`: requests can be served.
        case readiness(String?)
        /// The names of the stages of a pipeline that can serve from now on.
        case stands([String])
        /// A pipeline or a speculator was lost.
        case fault(place: String, kind: String, reason: String)
        case record(@Sendable (inout MetricsCollector) -> Void)
        case trace([TraceEvent])
        case log(Logger.Level, String, [String: String])
    }

    package let settings: Settings
    package internal(set) var membership: Membership
    package internal(set) var requests: RequestTable
    /// Pipelines by the number of their shape, speculators from ``firstSpeculator`` on.
    package internal(set) var lines: [Int: Line] = [:]
    var schedulers: [Int: Scheduler] = [:]
    /// Compute times of each stage, per pipeline.
    var costs: [Int: [CostFit]] = [:]
    /// What each micro-batch under way consists of.
    var underWay: [Int: [UInt64: UnderWay]] = [:]
    /// Since when a pipeline has something to do, as far as that is not counted yet.
    var activeSince: [Int: Instant] = [:]
    /// The prompt that each speculator scores.
    var jobs: [Int: UInt64] = [:]
    var drafts: DraftTable
    /// When traced requests began.
    var begun: [UInt64: Instant] = [:]
    var nextSpeculator = Self.firstSpeculator
    var counter: UInt64 = 0
    /// Why a pipeline does not stand, and the moment from which on a member must have been heard to be placed in it.
    var unfilled: [Int: String] = [:]
    var notBefore: [Int: Instant] = [:]
    var graceUntil: [Int: Instant] = [:]
    var lastFall: [Int: String] = [:]
    var preloads: [PeerID: LayerSpan] = [:]
    var told: String?
    var guests: Set<Guest> = []
    /// Whose keys may join; `nil` where links are plain text.
    var allowed: AllowList?
    /// Whom was told what, the last few.
    var refusedPeers: [PeerID: Membership.Refused] = [:]
    var misheardLines = LogRation()
    var isStopped = false
    var directives: [Directive] = []

    static let firstSpeculator = 1_000_000

    /// Whether micro-batches are under way in some pipeline.
    package var isComputing: Bool { underWay.values.contains { !$0.isEmpty } }

    package init(settings: Settings) {
        self.settings = settings
        membership = Membership(limits: Membership.Limits(stall: settings.stall))
        requests = RequestTable(limits: settings.requests, ends: settings.ends)
        drafts = DraftTable(policy: settings.drafts)
        for index in settings.pipelines.indices {
            unfilled[index] = Placement.present(0, of: settings.pipelines[index].stageCount)
        }
        told = notReadyReason ?? "starting"
    }

    /// What is to be done, in order. Empty afterwards.
    package mutating func take() -> [Directive] {
        defer { directives.removeAll() }
        return directives
    }

    // MARK: Readiness

    /// Why no request can be served; `nil` when one can.
    package var notReadyReason: String? {
        if isStopped { return "the coordinator is stopping" }
        let pipelines = lines.filter { $0.value.kind != .speculator }
        guard !pipelines.values.contains(where: \.isStanding) else { return nil }
        let reasons = settings.pipelines.indices.map { index -> String in
            let text = missing(index)
            return settings.pipelines.count == 1 ? text : "\(settings.pipelines[index].name): \(text)"
        }
        return reasons.joined(separator: "; ")
    }

    /// What a pipeline that does not stand lacks.
    func missing(_ index: Int) -> String {
        if let line = lines[index] {
            return line.missingText(
                reports(of: index), results: settings.resultsEndpoint, now: lastNow ?? line.since)
        }
        return [unfilled[index], lastFall[index].map { "(\($0))" }].compactMap(\.self).joined(separator: " ")
    }

    var lastNow: Instant?

    mutating func sayReadiness() {
        let reason = notReadyReason
        guard reason != told else { return }
        told = reason
        directives.append(.readiness(reason))
    }

    // MARK: Time

    /// - Parameter lateness: how much later than planned this call comes.
    package mutating func tick(now: Instant, lateness: Duration) {
        guard !isStopped else { return }
        lastNow = now
        if lateness > .zero {
            membership.late(by: lateness, now: now)
            if lateness > .milliseconds(200) { for number in lines.keys { lines[number]?.late(by: lateness) } }
        }
        for (peer, why) in membership.lost(now: now) { lose(peer, why: why, now: now) }
        for number in lines.keys {
            let reports = reports(of: number)
            lines[number]?.look(at: reports, now: now)
            guard let line = lines[number] else { continue }
            if line.isBlocked(now: now) {
                fell(number, reason: "the link to worker \(line.slots[0].name) takes nothing", now: now)
            } else if !line.isLate, line.isUnreached(now: now) {
                lines[number]?.isLate = true
                let text = line.missingText(reports, results: settings.resultsEndpoint, now: now)
                directives.append(.log(.warning, "a stage can't be reached", ["reason": text]))
            }
        }
        perform(
            requests.tick(now: now, notReadyReason: notReadyReason, hasSpeculator: hasSpeculator), now: now)
        reconcile(now: now)
        route(now: now)
        dispatchScores(now: now)
        hurryDrafts(now: now)
        // Everyone is told again what should be; whether the connection takes it says whether it stands.
        for member in membership.all { directives.append(.tell(member.peer, desired(member.peer))) }
    }

    var hasSpeculator: Bool {
        settings.speculatorsAreWorkers
            ? lines.values.contains { $0.kind == .speculator && $0.isStanding } : settings.speculatorContext != nil
    }

    /// Ends every request and lets the workers go.
    package mutating func stop(now: Instant) {
        guard !isStopped else { return }
        isStopped = true
        sayReadiness()
        for id in requests.ids { end(id, .failed(RequestError(.unavailable, "the coordinator is stopping")), now: now) }
        let members = membership.all.map(\.peer)
        for number in lines.keys { directives.append(.close(line: number)) }
        lines.removeAll()
        for peer in members { directives.append(.tell(peer, desired(peer))) }
    }
}
