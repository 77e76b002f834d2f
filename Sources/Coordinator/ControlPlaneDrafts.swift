// Speculative decoding: which requests' next tokens are guessed, and what becomes of the guesses.

import Logging
import Transformer

/// The requests that a drafter follows. A pure value.
struct DraftTable: Sendable {
    enum Phase: Sendable, Equatable {
        /// The drafter reads the prompt; tokens are decoded meanwhile.
        case following
        case ready
        /// The request waits for guesses since then.
        case guessing(since: ContinuousClock.Instant)
        /// The drafter can't follow it.
        case refused
    }

    struct Entry: Sendable {
        var phase: Phase
        /// Tokens of the answer that the drafter can follow.
        var room = 0
        /// Tokens of the answer that the drafter knows, and with its last order.
        var told = 0
        var telling = 0
        var agreement = DraftAgreement()
        /// The round under way: since when, guesses asked for, and requests that decode.
        var round: (since: ContinuousClock.Instant, count: Int, decoding: Int)?
    }

    /// What the policy of each pipeline begins with; `nil`: nothing is guessed.
    let policy: DraftPolicy?
    /// By pipeline.
    var policies: [Int: DraftPolicy] = [:]
    var entries: [UInt64: Entry] = [:]
    /// Requests that the drafter has been told of.
    var followed = 0
    /// Requests that were not followed because guesses do not pay, since the last one that was.
    var passedOver = 0

    init(policy: DraftPolicy?) { self.policy = policy }

    /// Requests that are followed at a time: each has a KV cache of the small model.
    static let mostFollowed = 32
    /// An answer with fewer tokens to come is not followed.
    static let leastRoom = 8
    /// The end of a longer answer is decoded without guesses: its drafter's KV cache ends.
    static let mostRoom = 4096
    /// Of requests that it does not seem to pay for, one in so many is followed all the same.
    static let trialEvery = 16
    /// A request waits no longer for guesses.
    static let patience = Duration.seconds(1)
}

extension ControlPlane {
    /// Looks at what came out of a pipeline, and keeps requests back whose next tokens are to be guessed first.
    mutating func draft(after effects: [Scheduler.Effect], of number: Int, now: Instant) {
        guard drafts.policy != nil else { return }
        var seen: Set<UInt64> = []
        let decoding = schedulers[number]?.queuedRows.decoding ?? 0
        for effect in effects {
            switch effect {
            case .drafted(let id, let proposed, let accepted):
                drafts.entries[id]?.agreement.verified(proposed: proposed, accepted: accepted)
                drafts.policies[number]?.verified(proposed: proposed, accepted: accepted)
                directives.append(.record { $0.drafted(proposed: proposed, accepted: accepted) })
            case .token(let id, _):
                guard seen.insert(id).inserted, let room = schedulers[number]?.draftRoom(id), room > 0 else { continue }
                draft(id, of: number, room: room, decoding: decoding, now: now)
            default: continue
            }
        }
    }

    /// A request has a new last token.
    private mutating func draft(_ id: UInt64, of number: Int, room: Int, decoding: Int, now: Instant) {
        guard let request = requests[id] else { return }
        if drafts.policies[number] == nil { drafts.policies[number] = drafts.policy }
        guard let entry = drafts.entries[id] else {
            follow(id, request, room: room, seemsToPay: drafts.policies[number]?.pays(decoding: decoding) ?? true)
            return
        }
        if let round = entry.round {
            let time = round.since.duration(to: now)
            drafts.policies[number]?.took(time, count: round.count, decoding: round.decoding)
        }
        drafts.entries[id]?.round = (now, 0, decoding)
        guard entry.phase == .ready, request.given.count < entry.room,
            let wanted = drafts.policies[number]?.choose(decoding: decoding, agreement: entry.agreement), wanted > 0,
            schedulers[number]?.hold(id) == true
        else { return }
        drafts.entries[id]?.round?.count = wanted
        drafts.entries[id]?.phase = .guessing(since: now)
        drafts.entries[id]?.telling = request.given.count
        // A guess more than there is room for is of no use.
        directives.append(
            .draft(.guess(id, answer: Array(request.given[entry.told...]), count: min(wanted, room))))
    }

    /// Lets the drafter follow a request, if that is likely to be worth it.
    private mutating func follow(_ id: UInt64, _ request: RequestTable.Entry, room: Int, seemsToPay: Bool) {
        let count = request.request.prompt.count
        let most = min(
            request.request.maxTokens, (settings.speculatorContext ?? 0) - count,
            request.given.count + DraftTable.mostRoom)
        guard room >= DraftTable.leastRoom, most >= request.given.count + DraftTable.leastRoom,
            drafts.followed < DraftTable.mostFollowed, let work = requests.work(id)
        else { return }
        guard seemsToPay || drafts.passedOver + 1 >= DraftTable.trialEvery else {
            drafts.passedOver += 1
            // Not asked again for this one.
            drafts.entries[id] = DraftTable.Entry(phase: .refused)
            return
        }
        drafts.passedOver = 0
        drafts.followed += 1
        drafts.entries[id] = DraftTable.Entry(phase: .following, room: most, telling: request.given.count)
        let kept = work.tokens.count - work.firstStep
        directives.append(
            .draft(
                .begin(
                    id, tokens: Array(work.tokens[..<kept]), positions: Array(work.positions[..<kept]),
                    promptCount: count, answer: request.given, room: most,
                    sampling: request.request.sampling)))
    }

    /// What became of an order about a request.
    package mutating func drafted(_ id: UInt64, _ result: DraftResult, now: Instant) {
        guard let entry = drafts.entries[id] else { return }
        var guesses: [Int32] = []
        switch result {
        case .guessed(let tokens):
            drafts.entries[id]?.told = entry.telling
            drafts.entries[id]?.phase = .ready
            // The small model's vocabulary may be the larger one.
            guesses = Array(tokens.prefix { 0 <= $0 && Int($0) < settings.vocabularySize })
        case .busy: drafts.entries[id]?.phase = .ready
        case .failed(let reason):
            drafts.entries[id]?.phase = .refused
            directives.append(
                .log(.warning, "a request's tokens can't be guessed", ["request": "\(id)", "reason": reason]))
        }
        guard case .guessing(let since) = entry.phase else { return }
        // A round without guesses, which waited for some.
        if guesses.isEmpty { drafts.entries[id]?.round = nil }
        note(phase: "draft", of: id, since: since, now: now)
        resume(id, guesses, now: now)
    }

    /// Lets a request go on that waited for guesses.
    private mutating func resume(_ id: UInt64, _ guesses: [Int32], now: Instant) {
        guard case .running(let number) = requests[id]?.phase else { return }
        schedulers[number]?.resume(id, drafts: guesses)
        pump(number, now: now)
    }

    /// Requests that have waited too long for guesses go on without.
    mutating func hurryDrafts(now: Instant) {
        for (id, entry) in drafts.entries {
            guard case .guessing(let since) = entry.phase, since.duration(to: now) > DraftTable.patience else {
                continue
            }
            drafts.entries[id]?.phase = .following
            drafts.entries[id]?.round = nil
            resume(id, [], now: now)
        }
    }

    /// A request has ended.
    mutating func forgetDraft(_ id: UInt64) {
        guard let entry = drafts.entries.removeValue(forKey: id), entry.telling > 0 else { return }
        drafts.followed -= 1
        directives.append(.draft(.forget(id)))
    }
}
