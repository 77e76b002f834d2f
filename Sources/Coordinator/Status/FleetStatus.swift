// What a cluster is and does at one moment, as its status page and `winnow status` show it.

public import Foundation
public import Layers

/// A snapshot of a coordinator: its pipelines, what waits, what was done lately, what went wrong. It holds lengths, counts
/// and ids of requests, never a word of a prompt or an answer.
///
/// As JSON its names are in snake case (``json()``); times of day are seconds since 1970, shares 0...1. A field may be added
/// within a ``version``; one that changes its meaning makes another.
public struct FleetStatus: Codable, Equatable, Sendable {
    /// The version of the form this program writes and reads.
    public static let currentVersion = 1

    /// The form's version: ``currentVersion`` where this program wrote it.
    public var version = currentVersion
    /// Counts the snapshots of the coordinator's life: another number, another content.
    public var sequence: UInt64 = 0
    /// When it was taken.
    public var takenAt = 0.0
    /// How long the coordinator has run, seconds.
    public var uptimeSeconds = 0.0
    /// The main model's name for clients.
    public var model = ""
    /// The program's release.
    public var release = ""
    /// Why no request can be served; `nil` when one can.
    public var notReady: String?
    /// In the topology's order.
    public var pipelines: [Pipeline] = []
    /// Who scores prompts: the coordinator itself, or workers.
    public var speculators: [Speculator] = []
    /// The share of the last seconds in which prompts were scored, summed over the speculators, as their number of busy ones.
    public var speculatorsBusy = 0.0
    /// Workers without a place, the first hundred.
    public var spares: [Spare] = []
    /// How many requests are where.
    public var queue = Queue()
    /// Over the last ``RecentHistory/rateWindow``.
    public var rates = Rates()
    /// The last ten minutes, oldest first, the last of them not over.
    public var history: [Interval] = []
    /// Of the last hour, newest first, at most a hundred.
    public var faults: [Fault] = []
    /// The last fifty by their arrival, newest first.
    public var requests: [Request] = []

    /// A coordinator that has done nothing yet.
    public init() {}

    /// A pipeline and its stages.
    public struct Pipeline: Codable, Equatable, Sendable {
        /// Its name in the topology.
        public var name: String
        /// Its incarnation; `nil` while nobody is assigned to it.
        public var epoch: String?
        /// Every layer is held and every link stands.
        public var isStanding = false
        /// What is missing while it does not stand.
        public var reason: String?
        /// When its workers were assigned.
        public var since: Double?
        /// First to last; empty while nobody is assigned.
        public var stages: [Stage] = []
        /// Requests in it; of them those that have a first token.
        public var requests = 0
        public var decoding = 0
        /// Prompt rows that have not been sent; rows and micro-batches between first stage and last.
        public var queuedRows = 0
        public var rowsInFlight = 0
        public var microBatchesInFlight = 0
        /// Token rows a second through all stages.
        public var rowsPerSecond = 0.0

        /// A pipeline that nobody is assigned to.
        public init(name: String) { self.name = name }
    }

    /// A worker in a pipeline, and the layers it holds.
    public struct Stage: Codable, Equatable, Sendable {
        /// The worker's name.
        public var worker: String
        /// The layers it holds, `0-3`; a part of one has a letter, as in `0-7a`.
        public var layers: String
        /// The first and last layer of which it holds any part.
        public var firstLayer: Int
        public var lastLayer: Int
        /// Compute threads; 0: not said.
        public var threads = 0
        /// The share of its weights that is loaded.
        public var loaded = 0.0
        /// Its link to the next stage stands.
        public var isLinked = false
        /// The share of the last seconds in which it computed.
        public var busy = 0.0
        /// Rows of KV cache in use, and how many may be.
        public var kvRowsUsed = 0
        public var kvRows = 0
        /// Of a micro-batch in the mean of the last seconds: computing, waiting for the stage, and on the way to it.
        public var computeSeconds = 0.0
        public var waitSeconds = 0.0
        public var wireSeconds = 0.0
        /// Since it was heard last.
        public var silentSeconds = 0.0
        /// Why it is called slow; `nil`: it is not.
        public var slow: String?

        /// A stage that has loaded and computed nothing yet.
        public init(worker: String, layers: LayerSpan) {
            self.worker = worker
            self.layers = layers.description
            firstLayer = layers.layers.lowerBound
            lastLayer = max(layers.layers.lowerBound, layers.layers.upperBound - 1)
        }
    }

    /// Who scores prompts.
    public struct Speculator: Codable, Equatable, Sendable {
        /// The worker's name, or the coordinator's.
        public var name: String
        /// A worker of its own, not the coordinator.
        public var isWorker: Bool
        /// Its weights are loaded.
        public var isReady: Bool
        /// The request whose prompt it scores.
        public var scoring: String?

        /// Creates it from its parts.
        public init(name: String, isWorker: Bool, isReady: Bool, scoring: String? = nil) {
            self.name = name
            self.isWorker = isWorker
            self.isReady = isReady
            self.scoring = scoring
        }
    }

    /// A worker without a place.
    public struct Spare: Codable, Equatable, Sendable {
        /// The worker's name.
        public var worker: String
        /// `stage` or `speculator`.
        public var role: String
        /// The layers it holds ready, `0-3`.
        public var layers: String?
        /// It has asked to go.
        public var isLeaving: Bool

        /// Creates it from its parts.
        public init(worker: String, role: String, layers: String?, isLeaving: Bool) {
            self.worker = worker
            self.role = role
            self.layers = layers
            self.isLeaving = isLeaving
        }
    }

    /// How many requests wait, are scored, and run.
    public struct Queue: Codable, Equatable, Sendable {
        /// For a speculator, a pipeline, or room in one.
        public var waiting = 0
        /// Whose prompt is being scored.
        public var scoring = 0
        /// In a pipeline.
        public var running = 0

        /// Nothing waits and nothing runs.
        public init() {}
    }

    /// A second's share of what was done.
    public struct Rates: Codable, Equatable, Sendable {
        /// Requests that ended, however.
        public var requests = 0.0
        /// Prompt tokens before and after pruning, and tokens of answers.
        public var promptTokens = 0.0
        public var keptTokens = 0.0
        public var generatedTokens = 0.0

        /// Nothing was done.
        public init() {}
    }

    /// A few seconds of the past.
    public struct Interval: Codable, Equatable, Sendable {
        /// When it began.
        public var at: Double
        /// Requests that ended in it, by how.
        public var finished = 0
        public var failed = 0
        public var refused = 0
        public var cancelled = 0
        /// Prompt tokens before and after pruning, and tokens of answers.
        public var promptTokens = 0
        public var keptTokens = 0
        public var generatedTokens = 0
        /// The most that waited (for a speculator or a pipeline, or being scored) and ran.
        public var waiting = 0
        public var running = 0
        /// Time to first token of the requests that got theirs; `nil` without one.
        public var ttftMedianSeconds: Double?
        public var ttftP95Seconds: Double?

        /// An interval in which nothing was done.
        public init(at: Double) { self.at = at }

        /// Kept tokens per prompt token; `nil` when no prompt was read.
        public var keptShare: Double? { promptTokens > 0 ? Double(keptTokens) / Double(promptTokens) : nil }
    }

    /// Something that went wrong with a pipeline or a speculator.
    public struct Fault: Codable, Equatable, Sendable {
        /// When it was found.
        public var at: Double
        /// The pipeline or speculator.
        public var place: String
        /// A word of ours, as in the metrics: `connection_closed`, `silence`, `left`.
        public var kind: String
        /// In words.
        public var reason: String

        /// Creates it from its parts.
        public init(at: Double, place: String, kind: String, reason: String) {
            self.at = at
            self.place = place
            self.kind = kind
            self.reason = reason
        }
    }

    /// One request, from its arrival to its end.
    public struct Request: Codable, Equatable, Sendable {
        /// How far it is.
        public enum State: String, Codable, Sendable {
            /// For a speculator, or for a pipeline.
            case waiting
            /// Whose prompt is scored, goes through the pipeline, has its first token; and how it ended.
            case scoring, prefill, decode, finished, failed, cancelled
        }

        /// The id by which client and logs know it.
        public var id: String
        /// When it arrived.
        public var at: Double
        /// How far it is.
        public var state: State
        /// In which pipeline it is or was.
        public var pipeline: String?
        /// Tokens of its prompt before pruning.
        public var promptTokens: Int
        /// `nil` until it is known what is kept.
        public var keptTokens: Int?
        /// What was kept of each piece of the prompt, in up to 64 equal pieces from its beginning to its end: `0` nothing,
        /// `9` all, `1` to `8` something between.
        public var keptMap: String?
        /// Why it went dense though pruning was asked for.
        public var fallback: String?
        /// Tokens of its answer so far.
        public var generatedTokens = 0
        /// Time spent scoring, and from arrival to the first token; `nil`: not yet.
        public var speculationSeconds: Double?
        public var ttftSeconds: Double?
        /// From arrival to its end.
        public var seconds: Double?
        /// Pipelines that fell under it.
        public var replays = 0
        /// How it ended: `stop`, `length`, or the error's code.
        public var end: String?

        /// A request that has arrived.
        public init(id: String, at: Double, state: State, promptTokens: Int) {
            self.id = id
            self.at = at
            self.state = state
            self.promptTokens = promptTokens
        }
    }
}

extension FleetStatus {
    /// As JSON, names in snake case.
    public func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }

    /// Reads what ``json()`` wrote; unknown fields are passed over.
    ///
    /// - Throws: `DecodingError`, also for another version.
    public init(json: Data) throws {
        struct Version: Decodable { var version: Int }
        let version = try JSONDecoder().decode(Version.self, from: json).version
        guard version == Self.currentVersion else {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: [],
                    debugDescription: "a status of version \(version), this program reads \(Self.currentVersion): "
                        + "use the coordinator's own release"))
        }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        self = try decoder.decode(Self.self, from: json)
    }
}
