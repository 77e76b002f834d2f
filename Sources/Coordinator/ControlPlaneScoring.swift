// Prompts on their way to speculators, and what comes back.

import Logging
package import Speculation
import Wire

extension ControlPlane {
    /// Gives waiting prompts to speculators that are free.
    mutating func dispatchScores(now: Instant) {
        guard settings.speculatorsAreWorkers else {
            for id in requests.unscored {
                requests.scoring(id, now: now)
                directives.append(.score(id))
            }
            return
        }
        var free = lines.filter { $0.value.kind == .speculator && $0.value.isStanding && jobs[$0.key] == nil }
            .map(\.key).sorted()
        guard !free.isEmpty else { return }
        for id in requests.unscored {
            guard let number = free.first, let request = requests[id]?.request else { break }
            free.removeFirst()
            jobs[number] = id
            requests.scoring(id, now: now)
            directives.append(.record { $0.speculationBegan(id, now: now) })
            lines[number]?.send(
                .score(
                    WireScore(
                        request: id, prompt: request.prompt, lookAhead: request.speculation.lookAhead,
                        pool: request.speculation.pool, isSparse: request.speculation.attention == .sparse,
                        mostKeys: Float(request.speculation.mostKeys))))
            directives.append(.flush(line: number))
        }
    }

    /// What the speculator in this process made of a prompt.
    package mutating func scored(
        _ id: UInt64, _ result: Result<Selection, SpeculationError>, time: Duration, now: Instant
    ) {
        if settings.isTracing {
            directives.append(
                .trace([
                    TraceEvent(
                        process: "coordinator", row: "score", name: "score", start: now - time, duration: time,
                        requests: [id])
                ]))
        }
        switch result {
        case .success(let selection): perform(requests.scored(id, selection, time: time, now: now), now: now)
        case .failure(let error):
            // Of a request that has ended meanwhile nothing failed: its client has left.
            if let request = requests[id]?.request {
                let name = request.name ?? "\(id)"
                directives.append(
                    .log(.warning, "speculation failed; the prompt goes dense", ["request": name, "error": "\(error)"]))
            }
            perform(requests.scoringFailed(id, reason: "\(error)", isFinal: true, now: now), now: now)
        }
        route(now: now)
    }

    mutating func take(_ scored: WireScored, _ tensors: [Frame], from number: Int, now: Instant) {
        guard let id = jobs[number], id == scored.request else {
            fell(number, reason: "worker \(lines[number]?.name ?? "") scored a prompt that it was not given", now: now)
            return
        }
        jobs[number] = nil
        let time = Duration.microseconds(Int64(min(scored.microseconds, 86_400_000_000)))
        let isScored = scored.error == nil
        if settings.isTracing, let line = lines[number], let peer = line.slots.first?.peer,
            let origin = membership[peer]?.clockOrigin
        {
            directives.append(
                .trace([
                    TraceEvent(
                        process: "speculator: \(line.name)", row: "score", name: "score",
                        start: origin + .microseconds(Int64(clamping: min(scored.time.started, 1 << 50))),
                        duration: time,
                        requests: [id])
                ]))
        }
        directives.append(.record { $0.speculationEnded(id, busy: time, isScored: isScored, now: now) })
        if let error = scored.error {
            perform(requests.scoringFailed(id, reason: error, isFinal: false, now: now), now: now)
        } else if let request = requests[id]?.request {
            let count = request.prompt.count
            let importance = tensors.first.map { frame in
                frame.withBytes { bytes in
                    bytes.count == count * 4
                        ? (0..<count).map { bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) } : []
                }
            }
            guard let importance, importance.count == count, importance.allSatisfy(\.isFinite) else {
                fell(
                    number,
                    reason: "worker \(lines[number]?.name ?? "") sent an importance of another shape, or no numbers",
                    now: now)
                return
            }
            let selection = Selector.select(
                importance: importance, parameters: request.speculation, protected: request.protected)
            perform(requests.scored(id, selection, time: time, now: now), now: now)
        }
        dispatchScores(now: now)
        route(now: now)
    }
}
