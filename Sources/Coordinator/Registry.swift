import Wire

/// Which workers there are, and which of them form the pipeline. A pure value: events in, actions out.
package struct Registry {
    package typealias Instant = ContinuousClock.Instant
    /// What a worker's control edge is known by.
    package typealias Identity = [UInt8]

    package struct Settings {
        /// The main model's fingerprint, 32 bytes.
        package var fingerprint: [UInt8]
        package var layerCount: Int
        package var stageCount: Int
        /// KV rows a request may count on, unless a worker holds fewer.
        package var kvRows: Int
        /// Where the last stage sends what it sampled.
        package var resultsEndpoint: String
        /// A worker silent for this long is lost.
        package var silenceLimit: Duration
        /// A busy worker without progress for this long hangs, and counts as lost.
        package var stallLimit: Duration

        package init(
            fingerprint: [UInt8], layerCount: Int, stageCount: Int, kvRows: Int, resultsEndpoint: String = "",
            silenceLimit: Duration, stallLimit: Duration
        ) {
            self.fingerprint = fingerprint
            self.layerCount = layerCount
            self.stageCount = stageCount
            self.kvRows = kvRows
            self.resultsEndpoint = resultsEndpoint
            self.silenceLimit = silenceLimit
            self.stallLimit = stallLimit
        }
    }

    /// What a worker says of itself, checked for form.
    package struct Introduction: Equatable {
        package var name: String
        package var fingerprint: [UInt8]
        package var model: String
        package var layerCount: Int
        package var dataEndpoint: String
        /// The layers it was told to hold; `nil`: any.
        package var wish: Range<Int>?
        /// 0: the coordinator's choice.
        package var kvRows: Int
        /// Its compute threads; 0: not said.
        package var threads: Int

        package init(
            name: String, fingerprint: [UInt8], model: String, layerCount: Int, dataEndpoint: String,
            wish: Range<Int>?, kvRows: Int, threads: Int = 0
        ) {
            self.name = name
            self.fingerprint = fingerprint
            self.model = model
            self.layerCount = layerCount
            self.dataEndpoint = dataEndpoint
            self.wish = wish
            self.kvRows = kvRows
            self.threads = threads
        }
    }

    /// A worker in its place in the pipeline.
    package struct Placed: Equatable {
        package var worker: String
        package var layers: Range<Int>
        /// 0: not said.
        package var threads: Int

        package init(worker: String, layers: Range<Int>, threads: Int) {
            self.worker = worker
            self.layers = layers
            self.threads = threads
        }
    }

    package enum Action: Equatable {
        case reply(Identity)
        case refuse(Identity, RefusalReason)
        /// `next` is the data endpoint of the next stage; `nil` for the last, which answers to the coordinator.
        case assign(Identity, epoch: UInt64, stage: Int, layers: Range<Int>, next: String?, kvRows: Int)
        case up(epoch: UInt64, first: String, kvRows: Int)
        /// `isOrderly`: a worker left in good order, nothing failed.
        case down(reason: String, isOrderly: Bool = false)
        /// A stage can't be reached where its worker says it can; told once for each stage and epoch.
        case unlinked(reason: String)
    }

    package enum RefusalReason: Equatable {
        case otherWeights(String)
        case badLayers(String)
        case unknownWorker
    }

    private struct Member {
        let introduction: Introduction
        let order: Int
        var lastHeard: Instant
        var progress: UInt64 = 0
        var progressSince: Instant
        /// Its place in the current epoch, or the last one it had: its weights are loaded for it.
        var layers: Range<Int>?
        var stage: Int?
        var isReady = false
        /// Since when it has been idle though its place in the pipeline is not ready: its layers are loaded, and the
        /// link to the next stage does not come up.
        var idleSince: Instant?
        /// The next stage is not reached for too long, and that was told.
        var isUnlinked = false
        /// Heard since the last fault of a link: only such workers go into the next pipeline, so that the dead one, which
        /// is not silent for long enough yet, does not.
        var isConfirmed = true

        /// Names by their first part, then by the number at their end (`worker-2` before `worker-10`), then by arrival.
        var rank: (String, Int, Int) {
            let stem = introduction.name.trimmingSuffix(while: { $0.isASCII && $0.isNumber })
            return (String(stem), Int(introduction.name.dropFirst(stem.count)) ?? -1, order)
        }
    }

    private enum Phase: Equatable {
        case waiting(reason: String)
        case assembling
        case up
    }

    /// Far more than any pipeline needs; a stranger who says hello again and again fills no more memory than this.
    private static let maxMembers = 1024

    private let settings: Settings
    private var members: [Identity: Member] = [:]
    private var joined = 0
    private var phase: Phase
    /// A link that does not come up within this time is named.
    package static let linkLimit = Duration.seconds(3)
    /// Why the last pipeline broke, until one stands again.
    private var lastBreak: String?
    package private(set) var epoch: UInt64 = 0

    package init(settings: Settings) {
        self.settings = settings
        phase = .waiting(reason: Self.present(0, of: settings.stageCount))
    }

    package var isUp: Bool { phase == .up }

    /// In words an operator can act on; `nil` when the pipeline stands.
    package var notReadyReason: String? {
        switch phase {
        case .waiting(let reason): lastBreak.map { "\(reason) (\($0))" } ?? reason
        case .assembling:
            unlinked ?? "workers are loading their layers: "
                + "\(members.values.count { $0.stage != nil && $0.isReady }) of \(settings.stageCount) are ready"
        case .up: nil
        }
    }

    /// The stages that can't be reached, and who tries to.
    private var unlinked: String? {
        let stuck = members.values.filter(\.isUnlinked).sorted { ($0.stage ?? 0) < ($1.stage ?? 0) }
        return stuck.isEmpty ? nil : stuck.map(unlinkedReason).joined(separator: "; ")
    }

    private func unlinkedReason(_ member: Member) -> String {
        let name = member.introduction.name
        guard let stage = member.stage, stage + 1 < settings.stageCount,
            let next = members.values.first(where: { $0.stage == stage + 1 })
        else {
            return "worker \(name) does not reach the coordinator's results endpoint \(settings.resultsEndpoint): "
                + "is it an address that worker's host can connect to (--advertise of the coordinator)?"
        }
        return "worker \(name) does not reach worker \(next.introduction.name) at \(next.introduction.dataEndpoint): "
            + "is it an address the other hosts can connect to (--advertise of that worker)?"
    }

    /// Why the coordinator's own link to stage 0 does not come up, when it has not for ``linkLimit``.
    package var firstStageUnlinked: String? {
        guard phase == .up, let first = members.values.first(where: { $0.stage == 0 }) else { return nil }
        return
            "the coordinator does not reach worker \(first.introduction.name) at \(first.introduction.dataEndpoint): "
            + "is it an address the coordinator's host can connect to (--advertise of that worker)?"
    }

    private static func present(_ count: Int, of all: Int) -> String {
        "\(count) of \(counted(all, "worker")) \(all == 1 ? "is" : "are") here"
    }

    /// The names of the workers in the pipeline, stage by stage.
    package var stageNames: [String] { stages.map(\.worker) }

    /// The workers in the pipeline, stage by stage.
    package var stages: [Placed] {
        members.values.filter { $0.stage != nil }.sorted { ($0.stage ?? 0) < ($1.stage ?? 0) }
            .map { member in
                Placed(
                    worker: member.introduction.name, layers: member.layers ?? 0..<0,
                    threads: member.introduction.threads)
            }
    }

    /// The stage a worker has in the pipeline, if it has one.
    package func stage(of identity: Identity) -> Int? { members[identity]?.stage }

    package var identities: [Identity] { Array(members.keys) }

    package func knows(_ identity: Identity) -> Bool { members[identity] != nil }

    // MARK: Events

    package mutating func hello(from identity: Identity, _ introduction: Introduction, now: Instant) -> [Action] {
        if members[identity] != nil {
            members[identity]?.lastHeard = now
            return [.reply(identity)]
        }
        guard introduction.fingerprint == settings.fingerprint else {
            return [
                .refuse(
                    identity,
                    .otherWeights(
                        "its model \"\(introduction.model)\" has fingerprint \(Self.short(introduction.fingerprint)), "
                            + "the coordinator's has \(Self.short(settings.fingerprint)): "
                            + "give every worker the same model directory"))
            ]
        }
        if let wish = introduction.wish {
            guard !wish.isEmpty, wish.upperBound <= settings.layerCount else {
                return [
                    .refuse(
                        identity,
                        .badLayers(
                            "layers \(wish.layersText) lie outside the model's \((0..<settings.layerCount).layersText)")
                    )
                ]
            }
            let others = members.values.compactMap { member in
                member.introduction.wish.map { (member.introduction.name, $0) }
            }
            // The same wish twice makes a spare; a different one that overlaps can never be served beside it.
            if let (name, other) = others.first(where: { $0.1 != wish && $0.1.overlaps(wish) }) {
                return [
                    .refuse(
                        identity,
                        .badLayers("layers \(wish.layersText) overlap \(other.layersText) of worker \(name)"))
                ]
            }
        }
        // The same worker under a new identity: it lost sight of us, and its old life is over.
        let old = members.filter { $0.value.introduction.dataEndpoint == introduction.dataEndpoint }.map(\.key)
        let actions = old.flatMap { lose($0, why: "said hello anew") }
        guard members.count < Self.maxMembers else { return actions }
        joined += 1
        members[identity] = Member(introduction: introduction, order: joined, lastHeard: now, progressSince: now)
        return actions + [.reply(identity)] + assembleIfWaiting()
    }

    package mutating func heartbeat(from identity: Identity, progress: UInt64, isBusy: Bool, now: Instant) -> [Action] {
        guard var member = members[identity] else { return [.refuse(identity, .unknownWorker)] }
        member.lastHeard = now
        if !isBusy || progress != member.progress { member.progressSince = now }
        if isBusy || member.stage == nil || member.isReady {
            member.idleSince = nil
            member.isUnlinked = false
        } else if member.idleSince == nil {
            member.idleSince = now
        }
        member.progress = progress
        member.isConfirmed = true
        members[identity] = member
        // Loading the weights of a large model may take as long as it takes.
        guard member.isReady, member.progressSince.duration(to: now) > settings.stallLimit else {
            return [.reply(identity)] + assembleIfWaiting()
        }
        return [.reply(identity)]
            + lose(identity, why: "computes without progress for \(settings.stallLimit.components.seconds) s")
    }

    package mutating func ready(from identity: Identity, epoch: UInt64, now: Instant) -> [Action] {
        guard epoch == self.epoch, phase == .assembling, members[identity]?.stage != nil else { return [] }
        members[identity]?.isReady = true
        members[identity]?.isUnlinked = false
        members[identity]?.lastHeard = now
        let stages = members.values.filter { $0.stage != nil }
        guard stages.count == settings.stageCount, stages.allSatisfy(\.isReady),
            let first = stages.first(where: { $0.stage == 0 })
        else { return [] }
        phase = .up
        lastBreak = nil
        return [.up(epoch: epoch, first: first.introduction.dataEndpoint, kvRows: commonKVRows(stages))]
    }

    /// A worker says the pipeline can't go on. It stays; a new epoch is made of the workers that are heard again.
    package mutating func pipelineFault(from identity: Identity, epoch: UInt64, reason: String) -> [Action] {
        guard epoch == self.epoch || epoch == 0, let member = members[identity], member.stage != nil else { return [] }
        return doubtAll(breakPipeline("worker \(member.introduction.name) reports: \(reason)"))
    }

    /// The coordinator's own edge to the pipeline failed.
    package mutating func edgeFault(reason: String) -> [Action] { doubtAll(breakPipeline(reason)) }

    /// A link failed, so one of its ends may be dead: whoever sends a heartbeat from now on is not.
    private mutating func doubtAll(_ actions: [Action]) -> [Action] {
        guard !actions.isEmpty else { return [] }
        for identity in members.keys { members[identity]?.isConfirmed = false }
        return actions + assembleIfWaiting()
    }

    package mutating func goodbye(from identity: Identity, reason: String) -> [Action] {
        lose(identity, why: "left (\(reason))", isOrderly: true)
    }

    package mutating func tick(now: Instant) -> [Action] {
        let silent = members.filter { $0.value.lastHeard.duration(to: now) > settings.silenceLimit }.map(\.key)
        return silent.flatMap { lose($0, why: "has been silent for \(settings.silenceLimit.components.seconds) s") }
            + findUnlinked(now: now)
    }

    private mutating func findUnlinked(now: Instant) -> [Action] {
        guard phase == .assembling else { return [] }
        var actions: [Action] = []
        for (identity, member) in members where !member.isUnlinked && !member.isReady && member.stage != nil {
            guard let since = member.idleSince, since.duration(to: now) >= Self.linkLimit else { continue }
            members[identity]?.isUnlinked = true
            actions.append(.unlinked(reason: unlinkedReason(member)))
        }
        return actions
    }

    // MARK: The pipeline

    private mutating func lose(_ identity: Identity, why: String, isOrderly: Bool = false) -> [Action] {
        guard let member = members.removeValue(forKey: identity) else { return [] }
        guard member.stage != nil else {
            if case .waiting = phase { return assembleIfWaiting() }
            return []
        }
        return breakPipeline("worker \(member.introduction.name) \(why)", isOrderly: isOrderly) + assembleIfWaiting()
    }

    private mutating func breakPipeline(_ reason: String, isOrderly: Bool = false) -> [Action] {
        guard phase == .up || phase == .assembling else { return [] }
        phase = .waiting(reason: reason)
        lastBreak = reason
        for identity in members.keys {
            members[identity]?.stage = nil
            members[identity]?.isReady = false
            members[identity]?.idleSince = nil
            members[identity]?.isUnlinked = false
        }
        return [.down(reason: reason, isOrderly: isOrderly)]
    }

    private mutating func assembleIfWaiting() -> [Action] {
        guard case .waiting = phase else { return [] }
        let present = members.filter(\.value.isConfirmed)
        guard present.count >= settings.stageCount else {
            phase = .waiting(reason: Self.present(present.count, of: settings.stageCount))
            return []
        }
        do {
            let plan = try LayerPlan(
                layerCount: settings.layerCount, stageCount: settings.stageCount,
                wishes: present.values.compactMap(\.introduction.wish))
            guard let chosen = choose(for: plan, among: present) else {
                phase = .waiting(reason: "too few workers without layers of their own; start one without --layers")
                return []
            }
            return assign(chosen, plan: plan)
        } catch {
            phase = .waiting(reason: error.reason)
            return []
        }
    }

    /// One worker for each slot: whoever has its layers loaded already, else in the order of their names (and of their
    /// coming, where names are the same), so that `worker-0` of a launch holds stage 0.
    private func choose(for plan: LayerPlan, among present: [Identity: Member]) -> [Identity]? {
        var free = present.sorted { $0.value.rank < $1.value.rank }
        var chosen: [Identity?] = plan.slots.map { _ in nil }
        func take(_ index: Int, where fits: (Member) -> Bool) {
            guard chosen[index] == nil, let found = free.firstIndex(where: { fits($0.value) }) else { return }
            chosen[index] = free.remove(at: found).key
        }
        for (index, slot) in plan.slots.enumerated() {
            let wish = slot.isWish ? slot.layers : nil
            take(index) { $0.introduction.wish == wish && $0.layers == slot.layers }
        }
        for (index, slot) in plan.slots.enumerated() {
            let wish = slot.isWish ? slot.layers : nil
            take(index) { $0.introduction.wish == wish }
        }
        let all = chosen.compactMap { $0 }
        return all.count == plan.slots.count ? all : nil
    }

    private mutating func assign(_ chosen: [Identity], plan: LayerPlan) -> [Action] {
        epoch += 1
        phase = .assembling
        for (stage, identity) in chosen.enumerated() {
            members[identity]?.stage = stage
            members[identity]?.layers = plan.slots[stage].layers
            members[identity]?.isReady = false
            members[identity]?.idleSince = nil
            members[identity]?.isUnlinked = false
        }
        let kvRows = commonKVRows(chosen.compactMap { members[$0] })
        return chosen.enumerated().map { stage, identity in
            let next = stage + 1 < chosen.count ? members[chosen[stage + 1]]?.introduction.dataEndpoint : nil
            return .assign(
                identity, epoch: epoch, stage: stage, layers: plan.slots[stage].layers, next: next, kvRows: kvRows)
        }
    }

    private func commonKVRows(_ stages: some Sequence<Member>) -> Int {
        stages.map(\.introduction.kvRows).filter { $0 > 0 }.min().map { min($0, settings.kvRows) } ?? settings.kvRows
    }

    private static func short(_ fingerprint: [UInt8]) -> String {
        fingerprint.prefix(6).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
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
