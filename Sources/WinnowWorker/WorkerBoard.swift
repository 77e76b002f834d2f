// Where a worker's events and snapshot are put up for others.

import Layers
import Synchronization
import Wire

/// The last snapshot, and whoever listens. From any thread.
final class WorkerBoard: Sendable {
    private struct State {
        var status = WorkerStatus()
        var snapshot = WorkerSnapshot()
        var window = RateWindow()
        var ended: WorkerEvent?
        var nextID = 0
        var streams: [Int: AsyncStream<WorkerEvent>.Continuation] = [:]
        var listener: (@Sendable (WorkerEvent) -> Void)?
    }
    private let state = Mutex(State())

    /// Events that wait for a slow listener; the oldest go first.
    static let bufferedEvents = 256

    init(kvTokens: Int) { state.withLock { $0.snapshot.kvTokens = kvTokens } }

    var snapshot: WorkerSnapshot { state.withLock { $0.snapshot } }

    /// What happens from now on; the end alone, after it.
    func events() -> AsyncStream<WorkerEvent> {
        let (stream, continuation) = AsyncStream<WorkerEvent>.makeStream(
            bufferingPolicy: .bufferingNewest(Self.bufferedEvents))
        let (id, ended) = state.withLock { state in
            state.nextID += 1
            if state.ended == nil { state.streams[state.nextID] = continuation }
            return (state.nextID, state.ended)
        }
        if let ended {
            continuation.yield(ended)
            continuation.finish()
        } else {
            continuation.onTermination = { [weak self] _ in
                self?.state.withLock { state in _ = state.streams.removeValue(forKey: id) }
            }
        }
        return stream
    }

    /// The one who hears every event on the thread where it happens, in order.
    func listen(_ listener: @escaping @Sendable (WorkerEvent) -> Void) { state.withLock { $0.listener = listener } }

    func show(_ status: WorkerStatus, load: WorkerState.Load, at now: ContinuousClock.Instant) {
        tell { state in
            guard state.ended == nil else { return [] }
            let events = status == state.status ? [] : WorkerEvent.changes(from: state.status, to: status)
            state.status = status
            let busy = Duration.microseconds(Int64(clamping: load.busyMicroseconds))
            let rates = state.window.add(rows: load.rows, busy: busy, at: now)
            state.snapshot.phase = status.phase
            state.snapshot.assignment = status.assignment
            state.snapshot.loadedLayers = load.loaded?.layers
            state.snapshot.loadedFraction = load.loaded == nil ? Double(load.loading) : 1
            state.snapshot.kvTokensUsed = load.kvRowsUsed
            state.snapshot.requests = load.requests
            state.snapshot.messages = load.messages
            state.snapshot.rows = load.rows
            state.snapshot.busy = busy
            state.snapshot.rowsPerSecond = rates.rows
            state.snapshot.busyShare = rates.busy
            state.snapshot.fault = status.fault
            return events
        }
    }

    func end(_ result: Result<Void, WorkerError>) {
        let event: WorkerEvent =
            switch result {
            case .success: .ended(nil)
            case .failure(let error): .ended(error)
            }
        let streams = tell { state in
            guard state.ended == nil else { return [] }
            state.ended = event
            state.snapshot.phase = .ended
            state.snapshot.assignment = nil
            state.snapshot.loadedLayers = nil
            state.snapshot.loadedFraction = 0
            state.snapshot.kvTokensUsed = 0
            state.snapshot.requests = 0
            state.snapshot.rowsPerSecond = 0
            state.snapshot.busyShare = 0
            return [event]
        }
        for stream in streams { stream.finish() }
        state.withLock { state in
            state.streams = [:]
            state.listener = nil
        }
    }

    /// Changes the board, then tells of it, with no lock held.
    @discardableResult
    private func tell(
        _ change: (inout State) -> [WorkerEvent]
    ) -> [AsyncStream<WorkerEvent>.Continuation] {
        let (events, streams, listener) = state.withLock { state in
            (change(&state), Array(state.streams.values), state.listener)
        }
        for event in events {
            listener?(event)
            for stream in streams { stream.yield(event) }
        }
        return streams
    }
}
