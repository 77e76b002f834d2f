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
        /// Requests that have left the phase; the queue counts each once, though some wait in it twice.
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
        public var layers: Range<Int>
        /// Its compute threads; `nil` when it did not say.
        public var threads: Int?
        /// KV cache rows reserved, as of its last heartbeat, and how many may be; a row is one token in all its layers.
        public var kvRowsUsed = 0
        public var kvRowsBudget: Int

        public init(layers: Range<Int>, threads: Int?, kvRowsUsed: Int = 0, kvRowsBudget: Int) {
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
    /// Time the speculator spent on prompts, those given up included.
    public var speculatorBusy: Duration = .zero
    /// Prompts it has scored.
    public var speculatorPrompts = 0
    /// An absent phase is 0.
    public var phases: [Phase: PhaseSum] = [:]
    /// By pipeline and stage; more than one of a place after its worker was replaced.
    public var stages: [Stage] = []

    public init() {}
}
