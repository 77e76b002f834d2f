// The thread a worker computes on.

import Compute
import Dispatch
import Synchronization

/// One thread that does its work item by item, in the order in which it was given, until it is ended.
package final class WorkThread: Sendable {
    private final class Inbox: Sendable {
        private struct State {
            var items: [@Sendable () -> Void] = []
            var isEnded = false
        }
        private let state = Mutex(State())
        private let waiting = DispatchSemaphore(value: 0)

        func put(_ item: @escaping @Sendable () -> Void) {
            let isTaken = state.withLock { state in
                if !state.isEnded { state.items.append(item) }
                return !state.isEnded
            }
            if isTaken { waiting.signal() }
        }

        func end() {
            // What was not begun goes, and with it what it holds.
            let left = state.withLock { state in
                state.isEnded = true
                defer { state.items = [] }
                return state.items
            }
            waiting.signal()
            _ = consume left
        }

        func run() {
            while true {
                waiting.wait()
                let (item, isEnded) = state.withLock { state in
                    (state.items.isEmpty ? nil : state.items.removeFirst(), state.isEnded)
                }
                if isEnded { return }
                item?()
            }
        }
    }

    private let inbox = Inbox()
    private let thread: PoolThread?
    private let isJoined = Mutex(false)

    /// Starts the thread, on `cpu` only if one is given and can be had.
    ///
    /// - Throws: where the system allows no more threads.
    package init(name: String, cpu: Int?) throws(WorkerError) {
        let inbox = inbox
        guard let thread = PoolThread(name: name, cpu: cpu, { inbox.run() }) else {
            throw .memory(purpose: "a thread's stack", bytes: 8 << 20)
        }
        self.thread = thread
    }

    deinit {
        inbox.end()
        guard !isJoined.withLock({ $0 }) else { return }
        thread?.joinOrLeave()
    }

    /// Does `work` after all that was given before; nothing once it is ended.
    package func submit(_ work: @escaping @Sendable () -> Void) { inbox.put(work) }

    /// Does no more than the item under way, and waits for that. Not from the thread itself.
    package func stopAndWait() {
        inbox.end()
        isJoined.withLock { isJoined in
            if !isJoined { thread?.joinOrLeave() }
            isJoined = true
        }
    }
}
