// Threads for work that would keep others waiting: parsing, rendering and tokenising of what a client sent.

import DequeModule
import Dispatch
import Foundation
import Glibc
import Synchronization

/// Named threads with a bounded queue before them. Work on them holds up neither the event loops nor Swift's own
/// thread pool, which carry every connection's bytes and answer the probes.
package final class WorkThreads: Sendable {
    private struct State {
        var waiting: Deque<@Sendable () -> Void> = []
        var isStopped = false
    }

    /// Deep enough for the deepest JSON and the deepest template taken.
    private static let stackBytes = 16 << 20

    private let state = Mutex(State())
    private let work = DispatchSemaphore(value: 0)
    private let threads: Int
    private let queue: Int

    /// Starts `threads` threads that take the work of a queue of at most `queue` pieces.
    ///
    /// - Parameter niceness: 0 for an even share of the CPUs, up to 19 for one that leaves them to others: probes and
    ///   streams are late on a busy host when each piece of long work may run on for as long as theirs wait.
    package init(name: String, threads: Int, queue: Int, niceness: Int32 = 0) {
        self.threads = threads
        self.queue = queue
        for number in 0..<threads {
            let thread = Thread { [self] in
                // A thread's own handle may not be known to Foundation yet, which then drops a name without a word.
                // The kernel keeps 15 bytes.
                FileHandle(forWritingAtPath: "/proc/thread-self/comm")?.write(Data("\(name)-\(number)".utf8))
                // On Linux a thread has a niceness of its own.
                if niceness > 0 { setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, niceness) }
                serve()
            }
            thread.stackSize = Self.stackBytes
            thread.start()
        }
    }

    /// Ends the threads once the queue is empty. Nothing may be asked of them any more.
    package func stop() {
        state.withLock { $0.isStopped = true }
        for _ in 0..<threads { work.signal() }
    }

    /// Has `body` run on one of the threads; nil, at once, when the queue is full.
    package func run<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value? {
        await withCheckedContinuation { continuation in
            let isQueued = state.withLock { state in
                guard state.waiting.count < queue, !state.isStopped else { return false }
                state.waiting.append { continuation.resume(returning: body()) }
                return true
            }
            guard isQueued else { return continuation.resume(returning: nil) }
            work.signal()
        }
    }

    private func serve() {
        while true {
            work.wait()
            let (next, isStopped) = state.withLock { ($0.waiting.popFirst(), $0.isStopped) }
            if let next {
                next()
            } else if isStopped {
                return
            }
        }
    }
}
