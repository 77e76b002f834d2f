// Threads that share out the indices of a loop.

internal import CKernels
internal import Glibc
internal import Synchronization

/// Named threads, optionally each kept on a CPU, that run loops together with the calling thread.
///
/// Idle threads sleep; before they do, they look out for the next loop for some microseconds, because the loops of one
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
private final class SharedLoop: @unchecked Sendable {  // `lock` guards all but the atomics; `turn` admits one caller
    private let turn = Mutex<Void>(())
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let wake: UnsafeMutablePointer<pthread_cond_t>
    private let idle: UnsafeMutablePointer<pthread_cond_t>

    /// The caller's closure, lent: no thread may keep a reference to it beyond the loop.
    private var body: UnsafePointer<(Int) -> Void>?
    private var count = 0
    private var stopped = false
    private let next = Atomic<Int>(0)
    /// Counts loops, so that a thread sees a new one without taking the lock.
    private let generation = Atomic<Int>(0)
    /// Threads, besides the caller, inside the loop. Changed under the lock.
    private let active = Atomic<Int>(0)

    /// About 20 microseconds of looking before sleeping.
    private static let spins = 400

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
            pthread_mutex_lock(lock)
            self.body = body
            self.count = count
            next.store(0, ordering: .relaxed)
            generation.add(1, ordering: .releasing)
            pthread_cond_broadcast(wake)
            pthread_mutex_unlock(lock)

            consume(count, body)

            // A thread that has not joined by now finds nothing to do and is not waited for.
            pthread_mutex_lock(lock)
            self.body = nil
            pthread_mutex_unlock(lock)
            var spins = 0
            while active.load(ordering: .acquiring) > 0, spins < Self.spins {
                winnow_thread_pause()
                spins += 1
            }
            pthread_mutex_lock(lock)
            while active.load(ordering: .acquiring) > 0 { pthread_cond_wait(idle, lock) }
            pthread_mutex_unlock(lock)
        }
    }

    /// A pool thread's life: join a loop, work, look out for the next, sleep.
    func work() {
        var seen = 0
        while true {
            var spins = 0
            while generation.load(ordering: .acquiring) == seen, spins < Self.spins {
                winnow_thread_pause()
                spins += 1
            }
            pthread_mutex_lock(lock)
            while generation.load(ordering: .relaxed) == seen, !stopped { pthread_cond_wait(wake, lock) }
            if stopped {
                pthread_mutex_unlock(lock)
                return
            }
            seen = generation.load(ordering: .relaxed)
            let (body, count) = (self.body, self.count)
            if body != nil { active.add(1, ordering: .relaxed) }
            pthread_mutex_unlock(lock)
            guard let body else { continue }

            consume(count, body)

            pthread_mutex_lock(lock)
            if active.subtract(1, ordering: .releasing).newValue == 0 { pthread_cond_signal(idle) }
            pthread_mutex_unlock(lock)
        }
    }

    func stop() {
        pthread_mutex_lock(lock)
        stopped = true
        generation.add(1, ordering: .releasing)
        pthread_cond_broadcast(wake)
        pthread_mutex_unlock(lock)
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
