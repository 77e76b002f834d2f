// The generations that clients wait for now, so that a shutdown can end them.

import Coordinator
import Synchronization

/// Running generations by their number.
final class OpenGenerations: Sendable {
    private let state = Mutex<(running: [UInt64: Generation], isClosed: Bool)>((running: [:], isClosed: false))

    /// Remembers a generation; one that comes after the end is cancelled at once.
    func add(_ generation: Generation) {
        let isClosed = state.withLock { state in
            if !state.isClosed { state.running[generation.id] = generation }
            return state.isClosed
        }
        if isClosed { generation.cancel() }
    }

    func remove(_ id: UInt64) {
        state.withLock { _ = $0.running.removeValue(forKey: id) }
    }

    /// Cancels all that run, and all that come later.
    func cancelAll() {
        let running = state.withLock { state in
            defer { state = (running: [:], isClosed: true) }
            return Array(state.running.values)
        }
        for generation in running { generation.cancel() }
    }
}
