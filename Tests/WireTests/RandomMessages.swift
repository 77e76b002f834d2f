// Every kind of message, with values that a seed decides.

import Layers
import Wire

/// A generator of the same numbers for the same seed.
struct Seeded: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// The kinds of messages there are.
enum MessageKind: CaseIterable {
    case report, desired, probe, microBatch, outcome, release, score, scored
}

extension Seeded {
    mutating func message(_ kind: MessageKind) -> Message {
        switch kind {
        case .report: .report(report())
        case .desired: .desired(desired())
        case .probe: .probe
        case .microBatch: .microBatch(microBatch())
        case .outcome: .outcome(outcome())
        case .release: .release(list(20) { $0.next() })
        case .score:
            .score(
                WireScore(
                    request: next(), prompt: ids(200), lookAhead: int(0...128), pool: int(0...99),
                    isSparse: int(0...1) == 1, mostKeys: int(0...1) == 1 ? Float(int(1...100)) / 100 : nil))
        case .scored: .scored(WireScored(request: next(), error: maybe { $0.word() }, microseconds: next()))
        }
    }

    mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
    private mutating func maybe<T>(_ value: (inout Seeded) -> T) -> T? {
        Bool.random(using: &self) ? value(&self) : nil
    }
    private mutating func list<T>(_ most: Int, _ value: (inout Seeded) -> T) -> [T] {
        (0..<int(0...most)).map { _ in value(&self) }
    }
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }
    private mutating func ids(_ most: Int) -> [Int32] { list(most) { Int32.random(in: 0 ... .max, using: &$0) } }
    private mutating func word() -> String { ["worker-1", "no", "lost", "é"][int(0...3)] + "\(int(0...999))" }
    private mutating func layers() -> LayerSpan {
        let first = int(0...100)
        return LayerSpan(bounds: 50 * first..<50 * first + 100 * int(1...100))
    }
    private mutating func endpoint() -> String {
        Bool.random(using: &self) ? "tcp://127.0.0.1:\(int(1...65535))" : "ipc:///tmp/\(int(0...99))"
    }
    mutating func epoch() -> Epoch { Epoch(incarnation: next(), counter: next()) }

    private mutating func report() -> Report {
        Report(
            incarnation: next(), role: Bool.random(using: &self) ? .stage : .speculator,
            profileHash: UInt64.random(in: 1 ... .max, using: &self), profile: maybe { $0.profile() },
            epoch: maybe { $0.epoch() }, loaded: maybe { $0.layers() }, loading: Float.random(in: 0...1, using: &self),
            isLinked: Bool.random(using: &self), fault: maybe { $0.word() }, received: next(), computed: next(),
            sent: next(), progress: next(), isBusy: Bool.random(using: &self), kvRowsUsed: int(0...(.max)),
            requests: int(0...Int(UInt32.max)), lateness: .milliseconds(int(0...60_000)),
            isLeaving: Bool.random(using: &self), refused: refused())
    }

    private mutating func refused() -> [Refusals.Reason: Int] {
        Refusals.Reason.allCases.reduce(into: [:]) { counts, reason in
            if Bool.random(using: &self) { counts[reason] = int(1...1 << 50) }
        }
    }

    private mutating func profile() -> Profile {
        Profile(
            name: word(), fingerprint: bytes(32), model: word(), layerCount: int(0...200), dataEndpoint: endpoint(),
            dataPeer: .random(using: &self), layers: maybe { $0.layers() }, pipeline: maybe { $0.word() },
            kvRows: int(0...(.max)), threads: int(0...1000), arithmetic: word(),
            speed: Double.random(in: 0...1e12, using: &self))
    }

    private mutating func desired() -> Desired {
        let assignment = maybe { random in
            let count = random.int(1...4096)
            return Assignment(
                epoch: random.epoch(), stage: random.int(0...count - 1), stageCount: count, layers: random.layers(),
                nextEndpoint: random.endpoint(), previous: Guest(.random(using: &random)),
                maxRows: random.int(1...8192),
                maxInFlight: random.int(1...8192), kvRows: random.int(0...Int(UInt32.max)),
                wireType: Bool.random(using: &random) ? .f32 : .bf16)
        }
        let refusals: [Desired.Refusal?] = [nil, .otherWeights, .badLayers, .badMessage, .otherPipeline]
        return Desired(
            incarnation: next(), knownProfile: next(), assignment: assignment, preload: maybe { $0.layers() },
            mayLeave: Bool.random(using: &self), refusal: refusals[int(0...4)], reason: word())
    }

    private mutating func microBatch() -> WireMicroBatch {
        WireMicroBatch(
            id: next(),
            segments: list(5) { random in
                WireSegment(
                    request: random.next(), positions: random.ids(40), tokens: random.ids(40),
                    opening: random.maybe { random in
                        WireSegment.Opening(
                            kvRows: random.int(0...100_000),
                            sampling: WireSampling(
                                temperature: Float.random(in: 0...2, using: &random), topK: random.int(0...100),
                                topP: Float.random(in: 0...1, using: &random),
                                minP: Float.random(in: 0...1, using: &random), seed: random.next(),
                                topLogProbabilities: random.maybe { $0.int(0...20) }), topTargets: random.int(0...20))
                    }, sample: Bool.random(using: &random), step: random.int(0...100_000), targets: random.ids(40),
                    decoded: random.int(0...100), cached: random.int(0...100_000), drafts: random.ids(16))
            }, stageMicroseconds: list(4) { $0.next() }, failures: failures())
    }

    private mutating func failures() -> [WireFailure] { list(3) { WireFailure(request: $0.next(), reason: $0.word()) } }

    private mutating func samples() -> [WireSample] {
        list(5) { random in
            let count = random.int(0...20)
            return WireSample(
                request: random.next(), step: random.int(0...100_000),
                token: Int32.random(in: 0 ... .max, using: &random),
                logProbability: -Float.random(in: 0...100, using: &random),
                topTokens: (0..<count).map { _ in Int32.random(in: 0 ... .max, using: &random) },
                topLogProbabilities: (0..<count).map { _ in -Float.random(in: 0...100, using: &random) })
        }
    }

    private mutating func outcome() -> WireOutcome {
        WireOutcome(
            microBatch: next(), samples: samples(), targets: samples(), stageMicroseconds: list(4) { $0.next() },
            failures: failures())
    }
}
