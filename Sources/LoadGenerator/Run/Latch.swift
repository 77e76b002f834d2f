// A one-way switch that tasks can wait for, with a time limit.

import Synchronization

/// Goes from open to set once and stays so.
final class Latch: Sendable {
    private struct State {
        var isSet = false
        var nextID = 0
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    /// Whether ``set()`` has been called.
    var isSet: Bool { state.withLock { $0.isSet } }

    /// Sets the latch and wakes everyone who waits. Calling it again does nothing.
    func set() {
        let waiters = state.withLock { state in
            state.isSet = true
            defer { state.waiters = [:] }
            return state.waiters.values
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Waits for the latch, the instant, or the task's cancellation, whichever comes first.
    func wait(until instant: ContinuousClock.Instant) async {
        guard !isSet else { return }
        await withTaskGroup(of: Void.self) { race in
            race.addTask { try? await Task.sleep(until: instant, tolerance: .zero, clock: .continuous) }
            race.addTask { await self.wait() }
            await race.next()
            race.cancelAll()
        }
    }

    private func wait() async {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                // Cancellation that came first has found nothing to resume, so it is looked for again here.
                let isOver = state.withLock { state in
                    guard !state.isSet, !Task.isCancelled else { return true }
                    state.waiters[id] = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
        }
    }
}
