// What a worker tells of its life.

internal import Layers

/// A change in a worker's life.
public enum WorkerEvent: Sendable, Equatable {
    /// A coordinator answers.
    case registered
    /// The coordinator is silent, and what it gave is dropped; the worker waits for it.
    case coordinatorLost
    /// The coordinator gives this place; its weights are loaded if they are not held already.
    case assigned(WorkerAssignment)
    /// The place is taken away.
    case unassigned
    /// Weights of these layers are being loaded; so much of them is there, 0 to 1. Told when they are asked for, and in steps
    /// of a twentieth.
    case loading(layers: Range<Int>, fraction: Double)
    /// The place is served: weights are loaded and the next neighbour is reached.
    case ready
    /// This assignment can't be served any further, and why; the coordinator gives another.
    case fault(String)
    /// The worker asked to be relieved.
    case draining
    /// The worker has ended, in order (nil) or for this reason. The last event.
    case ended(WorkerError?)

    /// What has changed from one moment to the next.
    package static func changes(from old: WorkerStatus, to new: WorkerStatus) -> [WorkerEvent] {
        var events: [WorkerEvent] = []
        if new.isRegistered, !old.isRegistered { events.append(.registered) }
        if new.isDraining, !old.isDraining { events.append(.draining) }
        if let assignment = new.assignment, new.epoch != old.epoch {
            events.append(.assigned(assignment))
        } else if new.assignment == nil, old.assignment != nil {
            events.append(.unassigned)
        }
        if let layers = new.loadingLayers, layers != old.loadingLayers || new.loadingStep != old.loadingStep {
            events.append(.loading(layers: layers, fraction: Double(new.loadingStep) / Double(WorkerStatus.steps)))
        }
        if new.isReady, !old.isReady || new.epoch != old.epoch { events.append(.ready) }
        if let fault = new.fault, fault != old.fault || new.epoch != old.epoch { events.append(.fault(fault)) }
        if !new.isRegistered, old.isRegistered { events.append(.coordinatorLost) }
        return events
    }
}

/// A worker's place in the cluster.
public struct WorkerAssignment: Sendable, Equatable {
    /// Its place in the pipeline, from 0; 0 for a speculator.
    public var stage: Int
    /// The pipeline's stages; 1 for a speculator.
    public var stageCount: Int
    /// The layers it holds, absolute; of the first and the last perhaps a part.
    public var layers: Range<Int>
    /// The same to the half of a layer, as ``WorkerConfiguration/layerSpan`` takes it.
    public var layerSpan: String

    /// Names a place.
    ///
    /// - Parameter layerSpan: nil: all of `layers`.
    public init(stage: Int, stageCount: Int, layers: Range<Int>, layerSpan: String? = nil) {
        self.stage = stage
        self.stageCount = stageCount
        self.layers = layers
        self.layerSpan = layerSpan ?? LayerSpan(layers).description
    }
}
