// What workers and the coordinator tell each other of themselves. No message matters alone: each says all of it again.

package import Layers

/// What never changes in a worker's life.
package struct Profile: Hashable, Sendable {
    package var name: String
    /// Of the model's shape and weights, 32 bytes.
    package var fingerprint: [UInt8]
    package var model: String
    package var layerCount: Int
    /// Where its neighbours connect.
    package var dataEndpoint: String
    /// What its own links to neighbours are called.
    package var dataPeer: PeerID
    /// The layers it was told to hold; `nil`: any.
    package var layers: LayerSpan?
    /// The pipeline it was told to serve; `nil`: any.
    package var pipeline: String?
    /// Rows of KV cache it can hold; 0: the coordinator's choice.
    package var kvRows: Int
    /// Compute threads; 0: not said.
    package var threads: Int
    /// Number formats and instruction level: what last digits depend on.
    package var arithmetic: String
    /// Measured multiplications and additions a second, each counted; 0: not measured.
    package var speed: Double

    package init(
        name: String, fingerprint: [UInt8], model: String, layerCount: Int, dataEndpoint: String, dataPeer: PeerID,
        layers: LayerSpan? = nil, pipeline: String? = nil, kvRows: Int = 0, threads: Int = 0, arithmetic: String = "",
        speed: Double = 0
    ) {
        self.name = name
        self.fingerprint = fingerprint
        self.model = model
        self.layerCount = layerCount
        self.dataEndpoint = dataEndpoint
        self.dataPeer = dataPeer
        self.layers = layers
        self.pipeline = pipeline
        self.kvRows = kvRows
        self.threads = threads
        self.arithmetic = arithmetic
        self.speed = speed
    }
}

/// What a worker has.
package struct Report: Equatable, Sendable {
    package var incarnation: Incarnation
    package var role: WorkerRole
    /// Never 0.
    package var profileHash: UInt64
    /// While the coordinator does not say that it knows it.
    package var profile: Profile?
    /// The assignment it serves.
    package var epoch: Epoch?
    /// The layers whose weights it holds.
    package var loaded: LayerSpan?
    /// Weights being loaded, 0 to 1.
    package var loading: Float
    /// The link to the next neighbour has stood in this epoch.
    package var isLinked: Bool
    /// Why the assignment can't be served.
    package var fault: String?
    /// On the edges of this epoch: the last number received in order, the messages worked off, the last number sent.
    package var received: UInt64
    package var computed: UInt64
    package var sent: UInt64
    /// Grows with every layer computed.
    package var progress: UInt64
    package var isBusy: Bool
    package var kvRowsUsed: Int
    package var requests: Int
    /// How late its own timer has been since the last report, at the worst.
    package var lateness: Duration
    /// How long, since its beginning, its computing threads have waited for a CPU that others had.
    package var cpuWait: Duration
    /// It wants to leave.
    package var isLeaving: Bool
    /// Its clock at this moment, microseconds since some moment of its own.
    package var clock: UInt64
    /// Strangers that were not let in at its data edge since its beginning; no reason has 0.
    package var refused: [Refusals.Reason: Int]

    package init(
        incarnation: Incarnation, role: WorkerRole = .stage, profileHash: UInt64, profile: Profile? = nil,
        epoch: Epoch? = nil, loaded: LayerSpan? = nil, loading: Float = 0, isLinked: Bool = false,
        fault: String? = nil, received: UInt64 = 0, computed: UInt64 = 0, sent: UInt64 = 0, progress: UInt64 = 0,
        isBusy: Bool = false, kvRowsUsed: Int = 0, requests: Int = 0, lateness: Duration = .zero,
        cpuWait: Duration = .zero, isLeaving: Bool = false, clock: UInt64 = 0,
        refused: [Refusals.Reason: Int] = [:]
    ) {
        self.refused = refused
        self.clock = clock
        self.incarnation = incarnation
        self.role = role
        self.profileHash = profileHash
        self.profile = profile
        self.epoch = epoch
        self.loaded = loaded
        self.loading = loading
        self.isLinked = isLinked
        self.fault = fault
        self.received = received
        self.computed = computed
        self.sent = sent
        self.progress = progress
        self.isBusy = isBusy
        self.kvRowsUsed = kvRowsUsed
        self.requests = requests
        self.lateness = lateness
        self.cpuWait = cpuWait
        self.isLeaving = isLeaving
    }
}

/// A place in a pipeline, and its bounds.
package struct Assignment: Equatable, Sendable {
    package var epoch: Epoch
    package var stage: Int
    package var stageCount: Int
    package var layers: LayerSpan
    /// Data endpoint of the next stage; of the coordinator, for the last one.
    package var nextEndpoint: String
    /// Who must answer there; `nil` where links are plain text.
    package var nextKey: PublicKey?
    /// Who alone may send to it.
    package var previous: Guest
    /// Rows of one micro-batch, micro-batches under way, rows of KV cache over all requests.
    package var maxRows: Int
    package var maxInFlight: Int
    package var kvRows: Int
    package var wireType: WireType

    package init(
        epoch: Epoch, stage: Int, stageCount: Int, layers: LayerSpan, nextEndpoint: String,
        nextKey: PublicKey? = nil, previous: Guest, maxRows: Int, maxInFlight: Int, kvRows: Int,
        wireType: WireType = .f32
    ) {
        self.epoch = epoch
        self.stage = stage
        self.stageCount = stageCount
        self.layers = layers
        self.nextEndpoint = nextEndpoint
        self.nextKey = nextKey
        self.previous = previous
        self.maxRows = maxRows
        self.maxInFlight = maxInFlight
        self.kvRows = kvRows
        self.wireType = wireType
    }
}

/// What a worker should have.
package struct Desired: Equatable, Sendable {
    /// Why a worker can't be used.
    package enum Refusal: Sendable, Equatable {
        case otherWeights, badLayers, badMessage, otherPipeline, notAllowed
    }
    package var incarnation: Incarnation
    /// The profile that is known; 0: none.
    package var knownProfile: UInt64
    package var assignment: Assignment?
    /// Without an assignment: layers to hold ready.
    package var preload: LayerSpan?
    /// It may end.
    package var mayLeave: Bool
    package var refusal: Refusal?
    package var reason: String

    package init(
        incarnation: Incarnation, knownProfile: UInt64 = 0, assignment: Assignment? = nil, preload: LayerSpan? = nil,
        mayLeave: Bool = false, refusal: Refusal? = nil, reason: String = ""
    ) {
        self.incarnation = incarnation
        self.knownProfile = knownProfile
        self.assignment = assignment
        self.preload = preload
        self.mayLeave = mayLeave
        self.refusal = refusal
        self.reason = reason
    }
}
