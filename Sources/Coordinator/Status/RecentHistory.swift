// What happened lately, for the status: the last requests, the last minutes, the faults of an hour.

import DequeModule
import Foundation
import Speculation

/// Keeps what is recent of a coordinator's events, within bounds. A pure value: events and their times in, parts of a
/// ``FleetStatus`` out. It is told of requests, never of tokens.
package struct RecentHistory: Sendable {
    package typealias Instant = ContinuousClock.Instant

    package static let mostRequests = 50
    package static let mostFaults = 100
    package static let faultMemory = Duration.seconds(3600)
    /// Of ``FleetStatus/history``: each interval's length, and how many there are.
    package static let interval = Duration.seconds(10)
    package static let intervals = 60
    /// Rates and shares are over so much time before.
    package static let rateWindow = Duration.seconds(10)
    /// How often ``sample(_:now:)`` wants to be called.
    package static let sampleInterval = Duration.seconds(1)
    /// Of an interval's times to first token the last so many are kept.
    private static let mostTimes = 256
    private static let mapPieces = 64

    private struct Past {
        let number: UInt64
        let start: Instant
        var request: FleetStatus.Request
    }
    private struct PastFault {
        let at: Instant
        var fault: FleetStatus.Fault
    }
    private struct PastInterval {
        let start: Instant
        var sums = FleetStatus.Interval(at: 0)
        var times: [Double] = []
        var timesSeen = 0
    }
    /// Sums at a moment, to be subtracted from later ones.
    package struct Sample: Sendable {
        let at: Instant
        let metrics: ServiceMetrics
    }

    private var requests: Deque<Past> = []
    private var faults: Deque<PastFault> = []
    private var past: Deque<PastInterval> = []
    private var samples: Deque<Sample> = []

    package init() {}

    // MARK: Requests

    package mutating func began(_ number: UInt64, name: String, promptTokens: Int, now: Instant) {
        requests.append(
            Past(
                number: number, start: now,
                request: FleetStatus.Request(id: name, at: 0, state: .waiting, promptTokens: promptTokens)))
        if requests.count > Self.mostRequests { requests.removeFirst() }
    }

    package mutating func pruned(_ number: UInt64, _ report: SpeculationReport) {
        change(number) { request, _ in
            request.keptTokens = report.keptTokens
            request.keptMap = Self.map(of: report.keptSpans, count: report.promptTokens)
            request.fallback = report.fallback
            request.speculationSeconds = report.speculation.map { $0 / .seconds(1) }
        }
    }

    /// - Parameter seconds: since the request's arrival.
    package mutating func firstToken(_ number: UInt64, after seconds: Double, now: Instant) {
        change(number) { request, _ in if request.ttftSeconds == nil { request.ttftSeconds = seconds } }
        turn(now)
        guard let last = past.indices.last else { return }
        if past[last].times.count < Self.mostTimes {
            past[last].times.append(seconds)
        } else {
            past[last].times[past[last].timesSeen % Self.mostTimes] = seconds
        }
        past[last].timesSeen += 1
    }

    /// It leaves a pipeline: done, given up, or because that fell.
    package mutating func left(_ number: UInt64, pipeline: String) {
        change(number) { request, _ in request.pipeline = pipeline }
    }

    package mutating func replayed(_ number: UInt64) { change(number) { request, _ in request.replays += 1 } }

    package mutating func ended(_ number: UInt64, _ ending: RequestTable.Ending, tokens: Int, now: Instant) {
        change(number) { request, start in
            request.generatedTokens = tokens
            request.seconds = start.duration(to: now) / .seconds(1)
            switch ending {
            case .finished(let reason):
                request.state = .finished
                request.end = reason.rawValue
            case .failed(let error):
                request.state = error.code == .cancelled ? .cancelled : .failed
                request.end = error.code.rawValue
            }
        }
    }

    private mutating func change(_ number: UInt64, _ change: (inout FleetStatus.Request, Instant) -> Void) {
        // The newest ones change most.
        guard let index = requests.lastIndex(where: { $0.number == number }) else { return }
        change(&requests[index].request, requests[index].start)
    }

    /// What was kept of each of up to 64 pieces, a digit each.
    private static func map(of spans: [Range<Int>], count: Int) -> String {
        let pieces = min(mapPieces, count)
        guard pieces > 0 else { return "" }
        func start(_ piece: Int) -> Int { piece * count / pieces }
        var kept = [Int](repeating: 0, count: pieces)
        for span in spans where span.lowerBound >= 0 && span.upperBound <= count && !span.isEmpty {
            var piece = span.lowerBound * pieces / count
            while piece < pieces, start(piece) < span.upperBound {
                kept[piece] += span.clamped(to: start(piece)..<start(piece + 1)).count
                piece += 1
            }
        }
        return kept.indices.map { piece in
            let size = start(piece + 1) - start(piece)
            let digit = kept[piece] == 0 ? 0 : kept[piece] >= size ? 9 : min(8, 1 + kept[piece] * 8 / size)
            return String(digit)
        }.joined()
    }

    // MARK: Time

    package mutating func fault(place: String, kind: String, reason: String, now: Instant) {
        faults.append(
            PastFault(at: now, fault: FleetStatus.Fault(at: 0, place: place, kind: kind, reason: reason)))
        if faults.count > Self.mostFaults { faults.removeFirst() }
    }

    /// Takes the sums of the moment; every ``sampleInterval``.
    package mutating func sample(_ metrics: ServiceMetrics, now: Instant) {
        turn(now)
        if let before = samples.last?.metrics, let last = past.indices.last {
            func grown(_ outcome: ServiceMetrics.Outcome) -> Int {
                metrics.requests[outcome, default: 0] - before.requests[outcome, default: 0]
            }
            past[last].sums.finished += grown(.finished)
            past[last].sums.failed += grown(.failed)
            past[last].sums.refused += grown(.refused)
            past[last].sums.cancelled += grown(.cancelled)
            past[last].sums.promptTokens += metrics.promptTokens - before.promptTokens
            past[last].sums.keptTokens += metrics.keptTokens - before.keptTokens
            past[last].sums.generatedTokens += metrics.generatedTokens - before.generatedTokens
            past[last].sums.waiting = max(past[last].sums.waiting, metrics.waiting + metrics.speculating)
            past[last].sums.running = max(past[last].sums.running, metrics.running)
        }
        samples.append(Sample(at: now, metrics: metrics))
        while samples.count > 2, samples[1].at.duration(to: now) >= Self.rateWindow { samples.removeFirst() }
        while let oldest = faults.first, oldest.at.duration(to: now) > Self.faultMemory { faults.removeFirst() }
    }

    /// Begins the interval of this moment; those in which nothing was heard are left out.
    private mutating func turn(_ now: Instant) {
        if let last = past.last, last.start.duration(to: now) < Self.interval { return }
        // On a grid, so that intervals stay where they are.
        let steps = past.last.map { Int($0.start.duration(to: now) / Self.interval) } ?? 0
        past.append(PastInterval(start: past.last.map { $0.start + Self.interval * steps } ?? now))
        while let oldest = past.first,
            past.count > Self.intervals || oldest.start.duration(to: now) > Self.interval * Self.intervals
        {
            past.removeFirst()
        }
    }

    // MARK: What is told

    /// How the sums grew over the rate window; `nil` before there are two samples.
    package var growth: Growth? {
        guard let first = samples.first, let last = samples.last, samples.count > 1 else { return nil }
        return Growth(from: first, to: last)
    }

    /// Fills in what is past.
    ///
    /// - Parameters:
    ///   - status: taken at `now`, which is its `takenAt`.
    ///   - live: what is under way, by its number; the ended and forgotten are left as they were.
    package func fill(
        _ status: inout FleetStatus, now: Instant, live: (UInt64, inout FleetStatus.Request) -> Void
    ) {
        let taken = status.takenAt
        func day(_ instant: Instant) -> Double { taken - instant.duration(to: now) / .seconds(1) }
        status.requests = requests.reversed().map { past in
            var request = past.request
            request.at = day(past.start)
            if request.end == nil { live(past.number, &request) }
            return request
        }
        status.faults = faults.reversed().filter { $0.at.duration(to: now) <= Self.faultMemory }.map { past in
            var fault = past.fault
            fault.at = day(past.at)
            return fault
        }
        status.history = past.map { past in
            var interval = past.sums
            interval.at = day(past.start)
            let times = past.times.sorted()
            interval.ttftMedianSeconds = times.isEmpty ? nil : times[(times.count - 1) / 2]
            interval.ttftP95Seconds = times.isEmpty ? nil : times[(times.count * 95 + 99) / 100 - 1]
            return interval
        }
        if let growth { status.rates = growth.rates }
    }
}

/// The difference of two moments' sums.
package struct Growth: Sendable {
    private let before: ServiceMetrics
    private let after: ServiceMetrics
    private let seconds: Double

    fileprivate init(from first: RecentHistory.Sample, to last: RecentHistory.Sample) {
        before = first.metrics
        after = last.metrics
        seconds = max(first.at.duration(to: last.at) / .seconds(1), 1e-3)
    }

    fileprivate var rates: FleetStatus.Rates {
        var rates = FleetStatus.Rates()
        let ended = { (metrics: ServiceMetrics) in metrics.requests.values.reduce(0, +) }
        rates.requests = Double(ended(after) - ended(before)) / seconds
        rates.promptTokens = Double(after.promptTokens - before.promptTokens) / seconds
        rates.keptTokens = Double(after.keptTokens - before.keptTokens) / seconds
        rates.generatedTokens = Double(after.generatedTokens - before.generatedTokens) / seconds
        return rates
    }

    /// Speculators busy in the mean.
    var speculatorsBusy: Double { (after.speculatorBusy - before.speculatorBusy) / .seconds(1) / seconds }

    /// What a worker in its place did.
    ///
    /// - Returns: its rows a second.
    func fill(_ stage: inout FleetStatus.Stage, pipeline: Int, index: Int) -> Double {
        func sums(_ metrics: ServiceMetrics) -> ServiceMetrics.Stage? {
            metrics.stages.first { $0.pipeline == pipeline && $0.stage == index && $0.worker == stage.worker }
        }
        guard let last = sums(after) else { return 0 }
        let first = sums(before) ?? ServiceMetrics.Stage(pipeline: pipeline, stage: index, worker: stage.worker)
        stage.busy = min(1, (last.busy - first.busy) / .seconds(1) / seconds)
        let count = Double(last.microBatches - first.microBatches)
        if count > 0 {
            stage.computeSeconds = (last.busy - first.busy) / .seconds(1) / count
            stage.waitSeconds = (last.wait - first.wait) / .seconds(1) / count
            stage.wireSeconds = (last.wire - first.wire) / .seconds(1) / count
        }
        return Double(last.rows - first.rows) / seconds
    }
}
