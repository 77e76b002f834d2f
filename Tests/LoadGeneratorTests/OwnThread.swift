// A thread of their own for tests that look at the clock.

import Dispatch

/// Runs tasks on one dispatch thread, apart from Swift's shared pool.
///
/// Tests of other suites compute on that pool for seconds at a time; a client that waits for them cannot tell how long its
/// server took. The command has the pool for itself.
final class OwnThread: TaskExecutor {
    static let shared = OwnThread()
    private let queue = DispatchQueue(label: "load generator test", qos: .userInteractive)

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
