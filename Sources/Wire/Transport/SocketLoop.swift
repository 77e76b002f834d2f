import CZeroMQ
import Foundation
import Synchronization

/// A thread that owns sockets, and the executor of the actor that uses them.
///
/// The actor names the loop as its executor, so its methods, the handlers of its sockets and its timers all run on this
/// one thread; other threads reach it with `submit`, in order. Nothing here blocks but the poll.
///
/// `@unchecked Sendable`: `inbox` and `stopped` are behind a mutex, `watches` and `timers` are touched on the loop's
/// thread alone.
package final class SocketLoop: SerialExecutor, @unchecked Sendable {
    private enum Item {
        case job(UnownedJob)
        case work(@Sendable () -> Void)
    }
    private struct Inbox {
        var items: [Item] = []
        var stopping = false
        /// Nobody works items off any more.
        var hasEnded = false
    }
    private struct Watch {
        let socket: Socket
        let onReadable: () -> Void
    }
    private struct Timer {
        var due: ContinuousClock.Instant
        let interval: Duration
        let fire: () -> Void
    }

    private let inbox = Mutex(Inbox())
    /// An eventfd; not zero when the inbox has something.
    private let wakeUp: Int32
    private let finished = DispatchSemaphore(value: 0)
    private var watches: [Watch] = []
    private var timers: [Timer] = []
    private var thread: Thread?
    private let clock = ContinuousClock()

    /// - Throws: `ZeroMQError` when the process has no file descriptor left.
    package init(name: String) throws(ZeroMQError) {
        wakeUp = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        guard wakeUp >= 0 else { throw ZeroMQError("open an eventfd") }
        let thread = Thread { [unowned self] in self.run() }
        thread.name = name
        self.thread = thread
    }

    deinit { close(wakeUp) }

    package func start() { thread?.start() }

    /// Ends the loop after what is in its inbox, and waits for the thread. Sockets are closed when their owner goes.
    /// Not from the loop's own thread.
    package func stopAndWait() {
        inbox.withLock { $0.stopping = true }
        wake()
        finished.wait()
        finished.signal()
    }

    /// Lets go of what was submitted to a loop that never ran, and takes nothing more: it may hold what holds this.
    package func abandon() {
        let left = inbox.withLock { inbox in
            (inbox.stopping, inbox.hasEnded) = (true, true)
            defer { inbox.items = [] }
            return inbox.items
        }
        _ = consume left
    }

    // MARK: Reaching the loop's thread

    /// Runs `work` on the loop's thread, after everything submitted before it.
    package func submit(_ work: @escaping @Sendable () -> Void) { put(.work(work)) }

    package func enqueue(_ job: consuming ExecutorJob) { put(.job(UnownedJob(job))) }

    private func put(_ item: Item) {
        let first = inbox.withLock { inbox in
            guard !inbox.hasEnded else { return false }
            inbox.items.append(item)
            return inbox.items.count == 1
        }
        if first { wake() }
    }

    private func wake() {
        // A full counter already wakes the loop, so a failed write loses nothing.
        eventfd_write(wakeUp, 1)
    }

    package func checkIsolated() {
        precondition(Thread.current === thread, "state of a socket loop touched from another thread")
    }

    package func isIsolatingCurrentContext() -> Bool? { Thread.current === thread }

    // MARK: On the loop's thread

    /// Calls `onReadable` whenever messages wait; it must read until none is left.
    package func watch(_ socket: Socket, onReadable: @escaping () -> Void) {
        watches.append(Watch(socket: socket, onReadable: onReadable))
    }

    /// Has whoever watches `socket` read again. On the loop's thread.
    func readAgain(_ socket: Socket) {
        for watch in watches where watch.socket === socket { watch.onReadable() }
    }

    package func unwatch(_ socket: Socket) { watches.removeAll { $0.socket === socket } }

    package func every(_ interval: Duration, _ fire: @escaping () -> Void) {
        timers.append(Timer(due: clock.now + interval, interval: interval, fire: fire))
    }

    private func run() {
        while true {
            let (items, stopping) = inbox.withLock { inbox in
                defer { inbox.items.removeAll(keepingCapacity: true) }
                return (inbox.items, inbox.stopping)
            }
            for item in items {
                switch item {
                case .job(let job): job.runSynchronously(on: asUnownedSerialExecutor())
                case .work(let work): work()
                }
            }
            if stopping && items.isEmpty { break }
            fireTimers()
            poll()
        }
        // What comes too late is let go.
        abandon()
        watches.removeAll()
        timers.removeAll()
        finished.signal()
    }

    private func fireTimers() {
        let now = clock.now
        for index in timers.indices where timers[index].due <= now {
            timers[index].due = now + timers[index].interval
            timers[index].fire()
        }
    }

    private func poll() {
        var items = [zmq_pollitem_t(socket: nil, fd: wakeUp, events: Int16(ZMQ_POLLIN), revents: 0)]
        let watched = watches
        for watch in watched {
            items.append(zmq_pollitem_t(socket: watch.socket.pointer, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0))
        }
        guard zmq_poll(&items, Int32(items.count), untilNextTimer()) >= 0 else { return }  // EINTR: simply again
        if items[0].revents != 0 {
            var count: eventfd_t = 0
            eventfd_read(wakeUp, &count)
        }
        for (item, watch) in zip(items.dropFirst(), watched) where item.revents != 0 { watch.onReadable() }
    }

    /// Milliseconds, at most a second.
    private func untilNextTimer() -> Int {
        guard let due = timers.map(\.due).min() else { return 1000 }
        let left = clock.now.duration(to: due)
        return max(0, min(1000, Int(left / .milliseconds(1)) + 1))
    }
}
