// How requests go through the control plane: to a speculator, to a pipeline, to their end.

import Logging
import Speculation
import Transformer
package import Wire

extension ControlPlane {
    // MARK: Coming and going

    package mutating func begin(_ id: UInt64, _ request: GenerationRequest, now: Instant) {
        if settings.isTracing { begun[id] = now }
        let choice = PrefillChoice(request, speculatorContext: settings.speculatorContext)
        perform(requests.add(id, request, choice: choice, now: now), now: now)
        if isStopped { end(id, .failed(RequestError(.unavailable, "the coordinator is stopping")), now: now) }
        dispatchScores(now: now)
        route(now: now)
    }

    /// Ends a request from outside: given up, or complete.
    package mutating func end(_ id: UInt64, _ ending: RequestTable.Ending, now: Instant) {
        perform(requests.end(id, ending), now: now)
        dispatchScores(now: now)
        route(now: now)
    }

    mutating func perform(_ list: [RequestTable.Directive], now: Instant) {
        for directive in list {
            switch directive {
            case .firstToken(let id, _, let seconds):
                note(phase: "first token", of: id, since: now - .seconds(seconds), now: now)
            case .end(let id, _, _, _):
                forgetDraft(id)
                if let start = begun.removeValue(forKey: id) { note(phase: "request", of: id, since: start, now: now) }
            case .withdraw(let id, let number):
                guard let effects = schedulers[number]?.cancel(id) else { break }
                release(effects, on: number)
                pump(number, now: now)
            case .stopScoring(let id):
                guard let number = jobs.first(where: { $0.value == id })?.key else { break }
                lines[number]?.send(.release([id]))
                directives.append(.flush(line: number))
            default: break
            }
            directives.append(.request(directive))
        }
    }

    // MARK: Pipelines

    /// Gives waiting requests to pipelines.
    mutating func route(now: Instant) {
        let waiting = requests.unrouted
        guard !waiting.isEmpty else { return }
        let standing = lines.filter { $0.value.isStanding && $0.value.kind != .speculator }
        guard !standing.isEmpty else { return }
        var touched: Set<Int> = []
        for id in waiting {
            guard let entry = requests[id], let work = requests.work(id) else { continue }
            let candidates = standing.compactMap { number, line in
                schedulers[number].map {
                    Router.Candidate(
                        id: number, scheduler: $0,
                        isAlike: entry.arithmetic.map { $0 == line.arithmetic } ?? false)
                }
            }
            guard !work.tokens.isEmpty,
                let number = Router.choose(kept: work.tokens.count, kvRows: work.kvRows, among: candidates),
                let line = standing[number]
            else {
                // A pipeline that is down may have more room; only when all stand is it known that none has.
                guard standing.count == settings.pipelines.count else { continue }
                let most = standing.values.map(\.kvRows).max() ?? 0
                perform(
                    requests.end(
                        id,
                        .failed(
                            RequestError(
                                .promptTooLong,
                                "\(work.tokens.count) kept tokens and \(entry.request.maxTokens) new ones need "
                                    + "\(work.kvRows) KV rows, the workers hold \(most)", field: "prompt"))),
                    now: now)
                continue
            }
            perform(requests.routed(id, to: number, arithmetic: line.arithmetic, now: now), now: now)
            schedulers[number]?.add(work)
            touched.insert(number)
        }
        for number in touched.sorted() { pump(number, now: now) }
    }

    /// Sends what may go down a pipeline now.
    mutating func pump(_ number: Int, now: Instant) {
        guard lines[number]?.isStanding == true else { return }
        while let microBatch = schedulers[number]?.next() {
            underWay[number]?[microBatch.id] = UnderWay(
                rows: microBatch.rows, segments: microBatch.segments, requests: microBatch.parts.map(\.request),
                sent: now)
            if activeSince[number] == nil { activeSince[number] = now }
            for part in microBatch.parts where part.opening != nil {
                let id = part.request
                directives.append(.record { $0.prefillBegan(id, now: now) })
            }
            lines[number]?.send(.microBatch(WireMicroBatch(microBatch)))
        }
        directives.append(.flush(line: number))
    }

    /// The next packet for a line's first stage.
    package func next(_ number: Int) -> Packet? { lines[number]?.next }

    package mutating func didSend(_ number: Int) { lines[number]?.didSend() }

    package mutating func couldNotSend(_ number: Int, now: Instant) { lines[number]?.couldNotSend(now: now) }

    /// Tells the stages whose KV is free.
    private mutating func release(_ effects: [Scheduler.Effect], on number: Int) {
        let freed = effects.compactMap { effect in
            if case .release(let id) = effect { id } else { nil }
        }
        guard !freed.isEmpty else { return }
        lines[number]?.send(.release(freed))
        directives.append(.flush(line: number))
    }

    // MARK: Results

    /// Whether results of an epoch are waited for.
    package func isWanted(_ epoch: Epoch) -> Bool { lines.values.contains { $0.epoch == epoch } }

    /// What a last stage or a speculator sent.
    package mutating func receive(_ packet: Packet, from peer: PeerID, now: Instant) {
        guard let number = lines.first(where: { $0.value.epoch == packet.epoch })?.key, let line = lines[number],
            line.last?.peer == peer
        else { return }
        switch lines[number]?.check.check(packet) {
        case nil, .stale, .doubled: return
        case .gap(let expected, let found):
            fell(
                number, reason: "the link from the last stage lost messages: expected \(expected), found \(found)",
                now: now)
            return
        case .inOrder: break
        }
        switch (packet.message, line.kind) {
        case (.outcome(let outcome), .pipeline(let index)): take(outcome, of: index, now: now)
        case (.release(let ids), .pipeline(let index)):
            schedulers[index]?.released(ids)
            pump(index, now: now)
        case (.scored(let scored), .speculator): take(scored, packet.tensors, from: number, now: now)
        default: fell(number, reason: "worker \(line.slots.last?.name ?? "") sent what it may not", now: now)
        }
    }

    private mutating func take(_ outcome: WireOutcome, of number: Int, now: Instant) {
        guard schedulers[number] != nil, let sent = underWay[number]?.removeValue(forKey: outcome.microBatch) else {
            // A number that was never sent, or twice: its sender does not do what a last stage does.
            fell(
                number, reason: "the last stage answered micro-batch \(outcome.microBatch), which is not under way",
                now: now)
            return
        }
        var failed = Dictionary(outcome.failures.map { ($0.request, $0.reason) }) { first, _ in first }
        for sample in outcome.samples + outcome.targets {
            if sample.logProbability.isNaN {
                failed[sample.request] = "the model's logits are not finite: no token can be drawn from them"
            } else if Int(sample.token) >= settings.vocabularySize || sample.token < 0
                || sample.topTokens.contains(where: { Int($0) >= settings.vocabularySize })
            {
                failed[sample.request] = "a token outside the vocabulary of \(settings.vocabularySize) came"
            }
        }
        func tokens(_ samples: [WireSample]) -> [(request: UInt64, token: SampledToken)] {
            samples.filter { failed[$0.request] == nil }.map { ($0.request, SampledToken($0)) }
        }
        let effects =
            schedulers[number]?.complete(
                outcome.microBatch, samples: tokens(outcome.samples), targets: tokens(outcome.targets), failed: failed)
            ?? []
        learn(outcome.stageMicroseconds, sent.segments, of: number)
        note(outcome, sent, of: number, now: now)
        let rows = sent.rows
        directives.append(
            .record { $0.completed(pipeline: number, rows: rows, stageMicroseconds: outcome.stageMicroseconds) })
        let count = effects.count { if case .token = $0 { true } else { false } }
        if count > 0 { directives.append(.record { $0.generated(tokens: count) }) }
        perform(requests.apply(effects, now: now), now: now)
        draft(after: effects, of: number, now: now)
        release(effects, on: number)
        pump(number, now: now)
        route(now: now)
    }

    private mutating func learn(_ microseconds: [UInt64], _ segments: [CostSegment], of number: Int) {
        guard var fits = costs[number], fits.count == microseconds.count else { return }
        for (stage, time) in microseconds.enumerated() { fits[stage].record(segments, microseconds: time) }
        costs[number] = fits
        schedulers[number]?.cost = PipelineCost(fits)
    }
}

extension WireMicroBatch {
    /// A micro-batch as stage 0 gets it.
    init(_ microBatch: Scheduler.MicroBatch) {
        self.init(
            id: microBatch.id,
            segments: microBatch.parts.map { part in
                WireSegment(
                    request: part.request, positions: part.positions, tokens: part.tokens,
                    opening: part.opening.map {
                        WireSegment.Opening(
                            kvRows: $0.kvRows, sampling: WireSampling($0.sampling), topTargets: $0.topTargets)
                    }, sample: part.sample, step: part.step, targets: part.targets,
                    decoded: part.decoded, cached: part.cached, drafts: part.drafts)
            })
    }
}

extension WireSampling {
    init(_ parameters: SamplingParameters) {
        self.init(
            temperature: parameters.temperature, topK: parameters.topK, topP: parameters.topP, minP: parameters.minP,
            seed: parameters.seed, topLogProbabilities: parameters.topLogProbabilities)
    }
}

extension SampledToken {
    init(_ sample: WireSample) {
        self.init(
            token: sample.token, logProbability: sample.logProbability,
            top: zip(sample.topTokens, sample.topLogProbabilities).map {
                TokenLogProbability(token: $0, logProbability: $1)
            })
    }
}
