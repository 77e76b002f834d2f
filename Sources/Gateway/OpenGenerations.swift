// The generations that clients wait for now, so that a shutdown can end them.

import Coordinator
import Synchronization

/// Running generations by their number.
final class OpenGenerations: Sendable {
    private struct State {
        var running: [UInt64: Generation] = [:]
        /// Whoever comes is turned away.
        var isDraining = false
        /// What still comes is cancelled.
        var isClosed = false
        /// Told, by their end, when nothing runs while it drains.
        var waiting: [AsyncStream<Void>.Continuation] = []
    }
    private let state = Mutex(State())

    /// Whether ``drain(atMost:)`` was called: nothing new is to begin.
    var isDraining: Bool { state.withLock { $0.isDraining } }

    /// Remembers a generation; one that comes after the end is cancelled at once.
    func add(_ generation: Generation) {
        let isClosed = state.withLock { state in
            if !state.isClosed { state.running[generation.id] = generation }
            return state.isClosed
        }
        if isClosed { generation.cancel() }
    }

    func remove(_ id: UInt64) {
        let waiting = state.withLock { state in
            state.running.removeValue(forKey: id)
            return state.running.isEmpty ? state.waiting : []
        }
        for one in waiting { one.finish() }
    }

    /// Comes back when nothing runs any more; what does after `limit` is cancelled.
    func drain(atMost limit: Duration) async {
        let (emptied, continuation) = AsyncStream.makeStream(of: Void.self)
        let isEmpty = state.withLock { state in
            state.isDraining = true
            state.waiting.append(continuation)
            return state.running.isEmpty
        }
        guard !isEmpty else { return }
        let isLate = await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                for await _ in emptied {}
                return false
            }
            group.addTask {
                try? await Task.sleep(for: limit)
                return true
            }
            defer { group.cancelAll() }
            return await group.next() ?? false
        }
        if isLate { cancelAll() }
    }

    /// Cancels all that run, and all that come later.
    func cancelAll() {
        let (running, waiting) = state.withLock { state in
            defer {
                state.running = [:]
                state.isClosed = true
            }
            return (Array(state.running.values), state.waiting)
        }
        for generation in running { generation.cancel() }
        for one in waiting { one.finish() }
    }
}
