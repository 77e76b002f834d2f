// Time that threads want a CPU and have none.

internal import Glibc
internal import Synchronization

/// How long some threads have waited for a CPU that others had: what tells a thread that is starved from one that hangs.
///
/// From `/proc/PID/task/TID/schedstat` (Linux, Documentation/scheduler/sched-stats.rst): time on a CPU and time waiting
/// for one, both in nanoseconds. Where the kernel does not count, no time is ever waited.
public final class CPUWait: Sendable {
    private struct Watched {
        let thread: pthread_t
        let descriptor: Int32
        var seen: UInt64
    }

    private struct State {
        var places: [Int: Watched] = [:]
        var total = Duration.zero
    }

    private let state = Mutex(State())

    public init() {}

    deinit { state.withLock { for watched in $0.places.values { close(watched.descriptor) } } }

    /// The calling thread is watched in this place, until another takes it or the thread ends.
    package func enter(place: Int) {
        let thread = pthread_self()
        guard state.withLock({ $0.places[place]?.thread != thread }) else { return }
        let descriptor = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)
        let watched = Self.waited(descriptor).map { Watched(thread: thread, descriptor: descriptor, seen: $0) }
        if watched == nil, descriptor >= 0 { close(descriptor) }
        let old = state.withLock { state in
            defer { state.places[place] = watched }
            return state.places[place]
        }
        if let old { close(old.descriptor) }
    }

    /// Time in which at least one of the watched threads waited, since the beginning, as far as can be told from one call
    /// to the next: call it regularly. A thread that waits at this moment counts once it has had a CPU.
    package func total() -> Duration {
        state.withLock { state in
            var longest: UInt64 = 0
            for (place, watched) in state.places {
                guard let waited = Self.waited(watched.descriptor) else {
                    close(watched.descriptor)
                    state.places[place] = nil
                    continue
                }
                longest = max(longest, waited > watched.seen ? waited - watched.seen : 0)
                state.places[place]?.seen = waited
            }
            state.total += .nanoseconds(Int64(clamping: longest))
            return state.total
        }
    }

    /// The second number of the file.
    private static func waited(_ descriptor: Int32) -> UInt64? {
        guard descriptor >= 0 else { return nil }
        return withUnsafeTemporaryAllocation(byteCount: 96, alignment: 1) { bytes in
            let count = pread(descriptor, bytes.baseAddress, bytes.count, 0)
            guard count > 0 else { return nil }
            let fields = bytes.prefix(count).split(separator: UInt8(ascii: " "))
            guard fields.count >= 2 else { return nil }
            return UInt64(String(decoding: fields[1], as: UTF8.self))
        }
    }
}
