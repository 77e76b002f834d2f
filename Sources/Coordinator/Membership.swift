package import Wire

/// Which workers there are, as they last reported, and which of them are alive. A pure value.
package struct Membership: Sendable {
    package typealias Instant = ContinuousClock.Instant

    package struct Member: Sendable {
        package let peer: PeerID
        /// Of its coming among all members.
        package let order: Int
        /// By which it was let in; `nil` where links are plain text.
        package let key: PublicKey?
        package var profile: Profile
        package var report: Report
        package var lastHeard: Instant
        /// Since when its connection is closed.
        package var closedSince: Instant?
        /// Since when it computes without progress.
        package var stalledSince: Instant?
        /// How long it had waited for a CPU by then.
        fileprivate var waitBeforeStall = Duration.zero
        /// The worst lateness it lately reported, and when.
        package var lateness = Duration.zero
        package var latenessAt: Instant
        /// When its threads last got less than a fifth of the CPU time that they wanted.
        fileprivate var starvedAt: Instant?
        /// When its own clock stood at 0, by the coordinator's: as its quickest report lately says, so late by that
        /// report's way at the most.
        package fileprivate(set) var clockOrigin: Instant?
        /// Counted as dead, until it is heard again.
        package var isLost = false

        /// Names by their first part, then by the number at their end (`worker-2` before `worker-10`), then by arrival.
        fileprivate var rank: (String, Int, Int) {
            let stem = profile.name.trimmingSuffix(while: { $0.isASCII && $0.isNumber })
            return (String(stem), Int(profile.name.dropFirst(stem.count)) ?? -1, order)
        }
    }

    package struct Limits: Sendable {
        /// A busy worker without progress for this long hangs, and counts as lost.
        package var stall: Duration
        package var silence = Protocol.silenceLimit
        package var back = Protocol.returnLimit

        package init(stall: Duration) { self.stall = stall }
    }

    /// Far more than any cluster here; strangers who report again and again fill no more memory than this.
    private static let maxMembers = 1024
    /// However late a host says it is, it is not waited for longer.
    private static let longestSilence = Duration.seconds(15)
    /// However long a host says that it starved, a stall of this many times the limit is one.
    private static let longestStarvation = 10
    /// Who has been gone for this long is forgotten.
    private static let forgetAfter = Duration.seconds(60)

    private let limits: Limits
    private var members: [PeerID: Member] = [:]
    /// In the order of their names.
    private var order: [PeerID] = []
    private var joined = 0
    /// Strangers at the data edges of workers, as they report them.
    private var strangers = Refusals()
    /// The coordinator's own worst lateness, and when.
    private var ownLateness = (Duration.zero, Instant?.none)

    package init(limits: Limits) { self.limits = limits }

    package subscript(_ peer: PeerID) -> Member? { members[peer] }

    package var all: [Member] { order.compactMap { members[$0] } }

    /// Alive members in the order of their names.
    package var alive: [Member] { all.filter { !$0.isLost } }

    /// What a report came to.
    package enum Hearing: Sendable {
        /// Nothing is known of the sender but this; its profile is wanted.
        case unknown
        case joined(replacing: [PeerID])
        case known
        /// There are too many already.
        case full
    }

    /// Takes a report. `check` says what is wrong with a profile that is new.
    package mutating func hear(
        _ report: Report, from peer: PeerID, key: PublicKey? = nil, now: Instant,
        check: (Profile) throws(Refused) -> Void
    ) throws(Refused) -> Hearing {
        if var member = members[peer], member.report.profileHash == report.profileHash {
            let (wait, time) = (report.cpuWait - member.report.cpuWait, member.lastHeard.duration(to: now))
            if wait > .milliseconds(100), wait > time * 0.8 { member.starvedAt = now }
            member.lastHeard = now
            member.closedSince = nil
            member.isLost = false
            if report.lateness >= member.lateness || member.latenessAt.duration(to: now) > .seconds(15) {
                member.lateness = report.lateness
                member.latenessAt = now
            }
            // Loading the weights of a large model may take as long as it takes, and is no stall afterwards.
            let isWorking = report.isBusy && report.epoch != nil && report.loaded != nil
            if !isWorking || report.progress != member.report.progress || report.computed != member.report.computed
                || report.epoch != member.report.epoch || report.loaded != member.report.loaded
            {
                member.stalledSince = nil
            } else if member.stalledSince == nil {
                member.stalledSince = now
                member.waitBeforeStall = report.cpuWait
            }
            let origin = now - .microseconds(Int64(clamping: min(report.clock, 1 << 50)))
            // Clocks drift apart, a few microseconds a second at the worst; a report comes every quarter of one.
            member.clockOrigin = member.clockOrigin.map { min($0 + .microseconds(2), origin) } ?? origin
            let refused = countStrangers(report, since: member.report)
            member.report = report
            member.report.profile = nil
            member.report.refused = refused
            members[peer] = member
            return .known
        }
        guard let profile = report.profile else { return .unknown }
        try check(profile)
        // The same worker in a new life: where it listens nobody else can.
        let old = members.values.filter { $0.profile.dataEndpoint == profile.dataEndpoint && $0.peer != peer }
        if let other = old.first(where: { $0.key != key }) {
            throw Refused(
                .notAllowed, "it says that it listens where worker \(other.profile.name), whose key is another, does")
        }
        for member in old { remove(member.peer) }
        guard members.count < Self.maxMembers || members[peer] != nil else { return .full }
        joined += 1
        var bare = report
        bare.profile = nil
        bare.refused = countStrangers(report, since: members[peer]?.report)
        members[peer] = Member(
            peer: peer, order: joined, key: key, profile: profile, report: bare, lastHeard: now, latenessAt: now)
        order = members.values.sorted { $0.rank < $1.rank }.map(\.peer)
        return .joined(replacing: old.map(\.peer))
    }

    /// Returns what is counted of the worker by now. A report that comes late takes nothing back.
    private mutating func countStrangers(_ report: Report, since earlier: Report?) -> [Refusals.Reason: Int] {
        let known = earlier?.incarnation == report.incarnation ? earlier?.refused ?? [:] : [:]
        strangers.add(Refusals.growth(report.refused, since: known))
        return report.refused.merging(known, uniquingKeysWith: max)
    }

    /// Strangers that workers have turned away since the last call.
    package mutating func takeStrangers() -> Refusals {
        defer { strangers = Refusals() }
        return strangers
    }

    /// Why a worker can't be one of ours.
    package struct Refused: Error, Equatable, Sendable {
        package var refusal: Desired.Refusal
        package var reason: String

        package init(_ refusal: Desired.Refusal, _ reason: String) {
            self.refusal = refusal
            self.reason = reason
        }
    }

    /// Whether its connection took a message. One that is closed may be back in a moment.
    package mutating func reached(_ peer: PeerID, _ isReached: Bool, now: Instant) {
        guard members[peer] != nil else { return }
        if isReached {
            members[peer]?.closedSince = nil
        } else if members[peer]?.closedSince == nil {
            members[peer]?.closedSince = now
        }
    }

    /// This process itself did not run for a while: nobody is accused of what it could not hear.
    package mutating func late(by lateness: Duration, now: Instant) {
        guard lateness > .zero else { return }
        if lateness >= ownLateness.0 || ownLateness.1.map({ $0.duration(to: now) > .seconds(15) }) ?? true {
            ownLateness = (lateness, now)
        }
        guard lateness > .milliseconds(200) else { return }
        for peer in members.keys {
            members[peer]?.lastHeard += lateness
            members[peer]?.closedSince? += lateness
            members[peer]?.stalledSince? += lateness
        }
    }

    /// Who is dead since the last call, and why.
    package mutating func lost(now: Instant) -> [(peer: PeerID, why: String)] {
        var found: [(PeerID, String)] = []
        for (peer, member) in members {
            if member.isLost {
                if member.lastHeard.duration(to: now) > Self.forgetAfter { remove(peer) }
                continue
            }
            guard let why = death(of: member, now: now) else { continue }
            members[peer]?.isLost = true
            found.append((peer, why))
        }
        return found.sorted { (members[$0.0]?.order ?? 0) < (members[$1.0]?.order ?? 0) }
    }

    /// Forgets a worker at once.
    package mutating func remove(_ peer: PeerID) {
        members[peer] = nil
        order.removeAll { $0 == peer }
    }

    private func death(of member: Member, now: Instant) -> String? {
        if let since = member.closedSince, since.duration(to: now) >= limits.back { return "closed its connection" }
        let late = max(
            member.latenessAt.duration(to: now) > .seconds(15) ? .zero : member.lateness,
            ownLateness.1.map { $0.duration(to: now) > .seconds(15) } ?? true ? .zero : ownLateness.0)
        // Where computing threads get next to nothing, the one that reports may wait for seconds too, and unannounced.
        let isStarved = member.starvedAt.map { $0.duration(to: now) <= Self.longestSilence + .seconds(1) } ?? false
        let limit = isStarved ? Self.longestSilence : max(limits.silence, min(Self.longestSilence, late * 8))
        if member.lastHeard.duration(to: now) > limit {
            return "has been silent for \(limit.components.seconds) s"
        }
        if let since = member.stalledSince, hangs(member, since: since, now: now) {
            return "computes without progress for \(limits.stall.components.seconds) s"
        }
        return nil
    }

    /// A worker whose threads get no CPU makes no progress either, and does not hang: only the time in which it had one
    /// counts, or needed none.
    private func hangs(_ member: Member, since: Instant, now: Instant) -> Bool {
        let time = since.duration(to: now)
        let starved = max(.zero, member.report.cpuWait - member.waitBeforeStall)
        return time - starved > limits.stall || time > limits.stall * Self.longestStarvation
    }
}

extension String {
    /// Without the longest ending all of whose characters match.
    fileprivate func trimmingSuffix(while matches: (Character) -> Bool) -> Substring {
        var rest = self[...]
        while let last = rest.last, matches(last) { rest.removeLast() }
        return rest
    }
}
