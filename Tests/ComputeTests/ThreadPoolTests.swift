// Loops on a pool: every index once, whoever calls.

import Compute
import Glibc
import Synchronization
import Testing

@Suite struct ThreadPoolTests {
    @Test(arguments: [1, 2, 4, 9])
    func everyIndexRunsOnce(threads: Int) {
        let pool = ThreadPool(threads: threads, name: "pool")
        for count in [0, 1, 2, 3, 100, 1000] {
            let seen = Mutex([Int](repeating: 0, count: count))
            pool.parallelFor(count) { index in seen.withLock { $0[index] += 1 } }
            #expect(seen.withLock { $0 } == [Int](repeating: 1, count: count))
        }
    }

    @Test func whatALoopWroteIsThereWhenItReturns() {
        let pool = ThreadPool(threads: 4, name: "pool")
        let matrix = Matrix(rows: 64, columns: 64)
        for round in 0..<2000 {
            pool.parallelFor(64) { row in
                matrix.withUnsafeMutableBufferPointer { for column in 0..<64 { $0[row * 64 + column] = Float(round) } }
            }
            #expect(matrix.withUnsafeBufferPointer { $0.allSatisfy { $0 == Float(round) } })
        }
    }

    /// Each index waits for all others, so every thread must have come: those that looked out and those that slept.
    @Test(.timeLimit(.minutes(2)), arguments: [2, 3, 5])
    func everyThreadComes(threads: Int) {
        let pool = ThreadPool(threads: threads, name: "pool")
        final class Arrivals: Sendable {
            let count = Atomic<Int>(0)
        }
        for round in 0..<600 {
            // Around the time after which they sleep.
            if round % 3 > 0 { usleep(UInt32(round % 200)) }
            let arrivals = Arrivals()
            pool.parallelFor(threads) { _ in
                arrivals.count.add(1, ordering: .relaxed)
                while arrivals.count.load(ordering: .relaxed) < threads { sched_yield() }
            }
        }
    }

    @Test func manyCallersTakeTurns() async {
        let pool = ThreadPool(threads: 3, name: "pool")
        final class Counter: Sendable {
            let total = Atomic<Int>(0)
        }
        let counter = Counter()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<200 { pool.parallelFor(7) { counter.total.add($0, ordering: .relaxed) } }
                }
            }
        }
        #expect(counter.total.load(ordering: .relaxed) == 8 * 200 * 21)
    }

    @Test func poolsCanBePinnedAndEnd() {
        for _ in 0..<20 {
            let pool = ThreadPool(threads: 3, cpus: [0, 1 << 20], name: "a name longer than fifteen bytes")
            pool.parallelFor(10) { _ in }
        }
        #expect(!ThreadPool.pinCurrentThread(to: -1))
    }
}
