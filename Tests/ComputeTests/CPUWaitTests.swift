// Waiting for a CPU, seen from the thread that waits.

import Compute
import Dispatch
import Foundation
import Glibc
import Synchronization
import Testing

@Suite(
    .timeLimit(.minutes(1)),
    .enabled(if: FileManager.default.fileExists(atPath: "/proc/thread-self/schedstat"), "this kernel does not count"))
struct CPUWaitTests {
    private final class Longest: Sendable {
        let wait = Mutex(Duration.zero)
    }

    /// Uses a CPU for `seconds` of the calling thread's time.
    private func compute(_ seconds: Double) {
        func used() -> Double {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
        }
        let end = used() + seconds
        while used() < end {}
    }

    /// Two threads on one CPU: what one uses the other waits for.
    @Test func whatOthersUseIsWaitedFor() {
        let waiting = CPUWait()
        let longest = Longest()
        let group = DispatchGroup()
        for place in 0..<2 {
            group.enter()
            Thread {
                ThreadPool.pinCurrentThread(to: 0)
                waiting.enter(place: place)
                compute(0.4)
                // Counted while the thread lives.
                let total = waiting.total()
                longest.wait.withLock { $0 = max($0, total) }
                group.leave()
            }.start()
        }
        group.wait()
        #expect(longest.wait.withLock { $0 } > .milliseconds(100))
    }

    /// A place is taken over, and a thread that has ended waits no more.
    @Test func whoComesAndGoes() {
        let waiting = CPUWait()
        for _ in 0..<100 {
            let group = DispatchGroup()
            group.enter()
            Thread {
                waiting.enter(place: 0)
                waiting.enter(place: 0)
                group.leave()
            }.start()
            group.wait()
        }
        let before = waiting.total()
        #expect(before < .seconds(10))
        #expect(waiting.total() >= before)
    }
}
