// Threads that share out the indices of a loop.

internal import CKernels
internal import Glibc
internal import Synchronization

/// Named threads, optionally each kept on a CPU, that run loops together with the calling thread.
///
/// Idle threads sleep; before they do, they look out for the next loop for some ten microseconds, because the loops of one
/// forward pass follow each other closely. One loop runs at a time: further callers wait for their turn.
public final class ThreadPool: Sendable {
    /// The number of threads that work on a loop, the caller included.
    public let threads: Int
    /// How long its threads have waited for a CPU; who calls ``parallelFor(_:_:)`` may take place 0.
    package let waiting: CPUWait
    private let loop: SharedLoop
    private let workers: [PoolThread]
    private let callerAlone = Atomic<Bool>(false)

    /// Starts `threads - 1` threads; the caller of ``parallelFor(_:_:)`` is the remaining one.
    ///
    /// - Parameters:
    ///   - threads: at least 1. Where the system allows fewer, there are fewer: see ``threads``.
    ///   - cpus: the CPUs to keep the threads on: thread i stays on `cpus[i % cpus.count]`. Thread 0 is the caller, which
    ///     is left alone: see ``pinCurrentThread(to:)``. A CPU that cannot be had is ignored.
    ///   - name: thread i is called `name-i`, of which Linux shows the first 15 bytes.
    public init(threads: Int, cpus: [Int]? = nil, name: String) {
        precondition(threads >= 1, "a pool of \(threads) threads")
        let loop = SharedLoop()
        self.loop = loop
        let waiting = CPUWait()
        self.waiting = waiting
        workers = (1..<threads).compactMap { index in
            PoolThread(name: "\(name)-\(index)", cpu: cpus.flatMap { $0.isEmpty ? nil : $0[index % $0.count] }) {
                waiting.enter(place: index)
                loop.work()
            }
        }
        self.threads = workers.count + 1
    }

    deinit {
        loop.stop()
        for worker in workers { worker.join() }
    }

    /// Whether the calling thread works on loops alone, from the next one on, while the others sleep: it leaves their CPUs
    /// to whoever else needs them now. Set from any thread.
    package var isCallerAlone: Bool {
        get { callerAlone.load(ordering: .relaxed) }
        set { callerAlone.store(newValue, ordering: .relaxed) }
    }

    /// Runs `body` for every index in `0..<count`, on any of the threads in any order, and returns when all are done.
    ///
    /// `body` must be safe to run on several threads at once, and must not call this function of the same pool.
    public func parallelFor(_ count: Int, _ body: (Int) -> Void) {
        if workers.isEmpty || count <= 1 || isCallerAlone {
            for index in 0..<max(count, 0) { body(index) }
        } else {
            withoutActuallyEscaping(body) { body in
                withUnsafePointer(to: body) { loop.run(count, $0) }
            }
        }
    }

    /// ``parallelFor(_:_:)`` for a body that can fail: throws one of the errors, when all that began has ended. Indices
    /// that have not begun by then are left out.
    package func tryParallelFor<E: Error>(_ count: Int, _ body: (Int) throws(E) -> Void) throws(E) {
        let failure = Mutex<E?>(nil)
        parallelFor(count) { index in
            guard failure.withLock({ $0 == nil }) else { return }
            do throws(E) {
                try body(index)
            } catch {
                failure.withLock { $0 = error }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }

    /// Keeps the whole process on some CPUs: every thread it has, and those they start. Call it early.
    ///
    /// A host program that embeds a worker decides that for itself; commands do it for `--cpus`.
    /// - Returns: nil, or why not (a CPU that is not there, or not allowed).
    public static func pinProcess(to cpus: [Int]) -> String? {
        let status = winnow_process_pin(cpus.map { Int32(truncatingIfNeeded: $0) }, Int32(cpus.count))
        return status == 0 ? nil : String(cString: strerror(status))
    }

    /// Keeps the calling thread on one CPU. Returns whether that was possible.
    @discardableResult
    public static func pinCurrentThread(to cpu: Int) -> Bool {
        winnow_thread_pin(Int32(truncatingIfNeeded: cpu)) == 0
    }
}

/// The loop that is being shared out, and the threads' waiting for it.
///
/// Loops of a forward pass are a few microseconds long and as far apart, so nobody takes the lock but to sleep, or to wake
/// who does: a thread that joins counts itself before it looks whether the loop still stands, and who ends the loop says so
/// before it looks whether anybody is inside. Whichever comes second sees the first.
private final class SharedLoop: @unchecked Sendable {  // `body` and `count` are set while nobody is inside
    private let turn = Mutex<Void>(())
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let wake: UnsafeMutablePointer<pthread_cond_t>
    private let idle: UnsafeMutablePointer<pthread_cond_t>

    /// The caller's closure, lent: no thread may keep a reference to it beyond the loop.
    private var body: UnsafePointer<(Int) -> Void>?
    private var count = 0
    private let next = Atomic<Int>(0)
    /// Counts the beginnings and the ends of loops: odd while one stands.
    private let phase = Atomic<Int>(0)
    private let stopped = Atomic<Bool>(false)
    /// Threads, besides the caller, inside the loop, or looking whether it stands.
    private let active = Atomic<Int>(0)
    /// Threads that sleep until the next loop, and whether the caller sleeps until they have left it.
    private let sleepers = Atomic<Int>(0)
    private let callerSleeps = Atomic<Bool>(false)

    /// Looks before sleeping: 35 to 80 microseconds, as long as a `pause` takes. Threads that share out a product from memory
    /// end it some ten microseconds apart; to be woken takes longer.
    private static let spins = 2000

    init() {
        lock = .allocate(capacity: 1)
        wake = .allocate(capacity: 1)
        idle = .allocate(capacity: 1)
        pthread_mutex_init(lock, nil)
        pthread_cond_init(wake, nil)
        pthread_cond_init(idle, nil)
    }

    deinit {
        pthread_cond_destroy(wake)
        pthread_cond_destroy(idle)
        pthread_mutex_destroy(lock)
        wake.deallocate()
        idle.deallocate()
        lock.deallocate()
    }

    func run(_ count: Int, _ body: UnsafePointer<(Int) -> Void>) {
        turn.withLock { _ in
            self.body = body
            self.count = count
            next.store(0, ordering: .relaxed)
            phase.add(1, ordering: .sequentiallyConsistent)
            wakeSleepers()

            consume(count, body)

            // A thread that has not joined by now finds no loop and is not waited for.
            phase.add(1, ordering: .sequentiallyConsistent)
            var spins = 0
            while active.load(ordering: .sequentiallyConsistent) > 0, spins < Self.spins {
                winnow_thread_pause()
                spins += 1
            }
            guard active.load(ordering: .sequentiallyConsistent) > 0 else { return }
            pthread_mutex_lock(lock)
            callerSleeps.store(true, ordering: .sequentiallyConsistent)
            while active.load(ordering: .sequentiallyConsistent) > 0 { pthread_cond_wait(idle, lock) }
            callerSleeps.store(false, ordering: .relaxed)
            pthread_mutex_unlock(lock)
        }
    }

    /// A pool thread's life: join a loop, work, look out for the next, sleep.
    func work() {
        var seen = 0
        while !stopped.load(ordering: .acquiring) {
            var spins = 0
            while !isNew(phase.load(ordering: .relaxed), seen), spins < Self.spins {
                winnow_thread_pause()
                spins += 1
            }
            if spins == Self.spins { sleep(seen) }
            active.add(1, ordering: .sequentiallyConsistent)
            let standing = phase.load(ordering: .sequentiallyConsistent)
            if isNew(standing, seen), let body {
                seen = standing
                consume(count, body)
            }
            if active.subtract(1, ordering: .sequentiallyConsistent).newValue == 0,
                callerSleeps.load(ordering: .sequentiallyConsistent)
            {
                pthread_mutex_lock(lock)
                pthread_cond_signal(idle)
                pthread_mutex_unlock(lock)
            }
        }
    }

    /// Whether a loop stands that the thread has not seen.
    private func isNew(_ phase: Int, _ seen: Int) -> Bool { phase & 1 == 1 && phase != seen }

    /// Until there is a loop that the thread has not seen, or the pool stops.
    private func sleep(_ seen: Int) {
        pthread_mutex_lock(lock)
        sleepers.add(1, ordering: .sequentiallyConsistent)
        while !isNew(phase.load(ordering: .sequentiallyConsistent), seen),
            !stopped.load(ordering: .sequentiallyConsistent)
        {
            pthread_cond_wait(wake, lock)
        }
        sleepers.subtract(1, ordering: .relaxed)
        pthread_mutex_unlock(lock)
    }

    private func wakeSleepers() {
        guard sleepers.load(ordering: .sequentiallyConsistent) > 0 else { return }
        pthread_mutex_lock(lock)
        pthread_cond_broadcast(wake)
        pthread_mutex_unlock(lock)
    }

    func stop() {
        stopped.store(true, ordering: .sequentiallyConsistent)
        wakeSleepers()
    }

    /// Not inlined, so that every reference to the closure ends in here.
    @inline(never)
    private func consume(_ count: Int, _ body: UnsafePointer<(Int) -> Void>) {
        while true {
            let index = next.add(1, ordering: .relaxed).oldValue
            if index >= count { return }
            body.pointee(index)
        }
    }
}
