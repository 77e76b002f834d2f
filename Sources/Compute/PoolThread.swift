// One POSIX thread.

internal import CKernels
internal import Glibc

/// A named thread that runs one function to its end.
package final class PoolThread: Sendable {
    private let handle: pthread_t

    /// Starts the thread, on `cpu` only if one is given and can be had; nil if the system allows no more threads.
    package init?(name: String, cpu: Int?, _ body: @escaping @Sendable () -> Void) {
        let start = Unmanaged.passRetained(Start(name: name, cpu: cpu, body: body))
        var handle = pthread_t()
        let status = pthread_create(
            &handle, nil,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                winnow_thread_name(start.name)
                if let cpu = start.cpu { winnow_thread_pin(Int32(truncatingIfNeeded: cpu)) }
                start.body()
                return nil
            }, start.toOpaque())
        guard status == 0 else {
            start.release()
            return nil
        }
        self.handle = handle
    }

    /// Waits for the function to return. Call it once.
    package func join() { pthread_join(handle, nil) }

    /// Waits for the function to return, or where it is the function itself that asks, lets the thread go its way. Instead
    /// of ``join()``.
    package func joinOrLeave() {
        if pthread_equal(handle, pthread_self()) != 0 { pthread_detach(handle) } else { pthread_join(handle, nil) }
    }
}

/// What a new thread is given.
private final class Start: Sendable {
    let name: String
    let cpu: Int?
    let body: @Sendable () -> Void

    init(name: String, cpu: Int?, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.cpu = cpu
        self.body = body
    }
}
