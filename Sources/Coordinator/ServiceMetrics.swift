public import Layers
import Wire

/// What a coordinator has done since it started, and what it holds now: sums that only grow, and levels.
public struct ServiceMetrics: Sendable, Equatable {
    /// How a request ended.
    public enum Outcome: String, CaseIterable, Sendable {
        case finished, failed, cancelled
        /// Never served: out of its range, too long, or too much to do. What the gateway finds malformed is not counted.
        case refused
    }

    /// Where a request's time goes, from its acceptance to its end; the phases share none of it.
    public enum Phase: String, CaseIterable, Sendable {
        /// Waiting for the speculator, and after it for room in the workers' KV caches.
        case queue
        /// Being scored.
        case speculate
        /// From its first rows' departure to its first token.
        case prefill
        /// From its first token to its end.
        case decode
    }

    /// Sums over the requests that have been in a phase.
    public struct PhaseSum: Sendable, Equatable {
        public var time: Duration = .zero
        /// Requests that have left the phase, each once, though some are in it twice: in the queue before they are scored
        /// and after it, on a replay in every phase but that one.
        public var requests = 0

        public init(time: Duration = .zero, requests: Int = 0) {
            self.time = time
            self.requests = requests
        }
    }

    /// The work of one worker in one place. A worker that comes back under its name goes on with its sums.
    public struct Stage: Sendable, Equatable {
        public var pipeline: Int
        public var stage: Int
        public var worker: String
        /// Time spent computing micro-batches, of those that came out of the pipeline.
        public var busy: Duration = .zero
        /// Time in which its pipeline had something to do. What of it the stage was not busy is the pipeline's bubble.
        public var active: Duration = .zero
        /// Time that micro-batches waited at it, and were on their way to it.
        public var wait: Duration = .zero
        public var wire: Duration = .zero
        public var microBatches = 0
        /// Token rows of those micro-batches.
        public var rows = 0
        /// What it holds while its pipeline stands; `nil` afterwards.
        public var holding: Holding?

        public init(pipeline: Int, stage: Int, worker: String) {
            self.pipeline = pipeline
            self.stage = stage
            self.worker = worker
        }
    }

    /// What the worker of a standing stage holds.
    public struct Holding: Sendable, Equatable {
        public var layers: LayerSpan
        /// Its compute threads; `nil` when it did not say.
        public var threads: Int?
        /// KV cache rows reserved, as of its last heartbeat, and how many may be; a row is one token in all its layers.
        public var kvRowsUsed = 0
        public var kvRowsBudget: Int

        public init(layers: LayerSpan, threads: Int?, kvRowsUsed: Int = 0, kvRowsBudget: Int) {
            self.layers = layers
            self.threads = threads
            self.kvRowsUsed = kvRowsUsed
            self.kvRowsBudget = kvRowsBudget
        }
    }

    /// Ended requests; an absent outcome is 0.
    public var requests: [Outcome: Int] = [:]
    /// Requests in the queue, being scored, and in the pipeline.
    public var waiting = 0
    public var speculating = 0
    public var running = 0
    /// Prompt tokens of the requests that went on to the pipeline, before and after pruning.
    public var promptTokens = 0
    public var keptTokens = 0
    public var generatedTokens = 0
    /// Tokens that the speculator guessed ahead, by whether they were the main model's.
    public var acceptedDrafts = 0
    public var rejectedDrafts = 0
    /// Time the speculator spent on prompts, those given up included.
    public var speculatorBusy: Duration = .zero
    /// Prompts it has scored.
    public var speculatorPrompts = 0
    /// Times requests went on elsewhere because their pipeline fell.
    public var replays = 0
    /// Faults of workers, links and pipelines, by kind.
    public var faults: [String: Int] = [:]
    /// Where strangers come. The raw values are labels of a metric.
    public enum Edge: String, CaseIterable, Sendable {
        /// Where workers report.
        case control
        /// Where last stages bring their outcomes.
        case results
        /// Where workers take hidden rows, as they tell of it.
        case data
    }
    /// Connections of strangers that were not let in, by reason. A worker tells of its own again to a coordinator that is
    /// new.
    public var refusedConnections: [Edge: [String: Int]] = {
        let none = Dictionary(uniqueKeysWithValues: Refusals.Reason.allCases.map { ($0.rawValue, 0) })
        return Dictionary(uniqueKeysWithValues: Edge.allCases.map { ($0, none) })
    }()
    /// Seconds from acceptance to the first token.
    public var timeToFirstToken = Histogram.seconds
    /// Seconds of a token after the first, the mean of each request that had two.
    public var timePerOutputToken = Histogram.seconds
    /// Seconds from acceptance to the end, of finished requests.
    public var endToEnd = Histogram.seconds
    /// Seconds each request waited before its first rows left, for the speculator and for room.
    public var queueTime = Histogram.seconds
    /// Seconds it took to score each prompt.
    public var speculationTime = Histogram.seconds
    /// Of each prompt, the share that was kept; 1 where nothing was pruned.
    public var keptShare = Histogram.shares
    /// An absent phase is 0.
    public var phases: [Phase: PhaseSum] = [:]
    /// By pipeline and stage; more than one of a place after its worker was replaced.
    public var stages: [Stage] = []

    public init() {}

    /// The share of its KV budget that each standing pipeline's fullest stage uses, 0...1, by pipeline.
    public var kvUse: [Int: Double] {
        var use: [Int: Double] = [:]
        for stage in stages {
            guard let holding = stage.holding, holding.kvRowsBudget > 0 else { continue }
            let share = min(1, max(0, Double(holding.kvRowsUsed) / Double(holding.kvRowsBudget)))
            use[stage.pipeline] = max(use[stage.pipeline] ?? 0, share)
        }
        return use
    }

    /// The mean of ``kvUse`` over the standing pipelines, each as heavy as its budget; 1 when none stands: there is no room.
    public var kvUseOfAll: Double {
        var used = 0.0
        var budget = 0.0
        for (pipeline, share) in kvUse.sorted(by: { $0.key < $1.key }) {
            let rows = stages.filter { $0.pipeline == pipeline }.compactMap { $0.holding?.kvRowsBudget }.max() ?? 0
            used += share * Double(rows)
            budget += Double(rows)
        }
        return budget > 0 ? used / budget : 1
    }
}
