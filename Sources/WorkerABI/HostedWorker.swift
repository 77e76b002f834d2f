// A worker of a host that has no Swift tasks: its events, and its end.

import CWinnowWorker
import Compute
import DequeModule
import Dispatch
import Foundation
import Logging
import Synchronization
import WinnowWorker

/// A worker, what waits to be told of it, and the thread that ends it.
///
/// `@unchecked Sendable`: `state` is guarded by `condition`.
final class HostedWorker: @unchecked Sendable {
    private struct State {
        var worker: Worker?
        var ender: PoolThread?
        var isStarted = false
        /// A thread of the host is inside ``start()``.
        var isStarting = false
        var result: Result<Void, WorkerError>?
        var events: Deque<FlatEvent> = []
        var descriptor: Int32
        /// Of the event that was taken last.
        var text: UnsafeMutablePointer<CChar>?
        var layers: UnsafeMutablePointer<CChar>?
    }
    private let condition = NSCondition()
    private var state: State
    private let onEvent: winnow_event_callback?
    private let userData: SendableAddress
    private let endpoint: UnsafeMutablePointer<CChar>?
    private let name: String

    /// Events that wait to be taken; the oldest go first.
    private static let mostEvents = 256

    init(_ config: winnow_worker_config) throws(CallError) {
        let configuration = try config.configuration()
        let logger = try CallbackLog.logger(config, name: configuration.name)
        let worker: Worker
        do {
            worker = try Worker(configuration: configuration, logger: logger)
        } catch {
            throw CallError(error)
        }
        let descriptor = winnow_parts_descriptor()
        guard descriptor >= 0 else {
            throw CallError(Int(WINNOW_TRANSPORT), "no eventfd: no file descriptor is left (ulimit -n)")
        }
        state = State(worker: worker, descriptor: descriptor)
        onEvent = config.on_event
        userData = SendableAddress(config.event_user_data)
        endpoint = strdup(worker.endpoint)
        name = configuration.name
    }

    deinit {
        if state.descriptor >= 0 { close(state.descriptor) }
        free(state.text)
        free(state.layers)
        free(endpoint)
    }

    private func locked<R>(_ body: (inout State) throws(CallError) -> R) throws(CallError) -> R {
        condition.lock()
        defer { condition.unlock() }
        return try body(&state)
    }

    private static var destroyed: CallError { CallError(Int(WINNOW_INVALID_HANDLE), "the worker is being destroyed") }

    private func worker() throws(CallError) -> Worker {
        guard let worker = try locked({ $0.worker }) else { throw Self.destroyed }
        return worker
    }

    // MARK: Its life

    func start() throws(CallError) {
        let worker = try locked { state throws(CallError) in
            guard let worker = state.worker else { throw Self.destroyed }
            guard !state.isStarted else { throw CallError(Int(WINNOW_MISUSE), "the worker was started before") }
            (state.isStarted, state.isStarting) = (true, true)
            return worker
        }
        defer {
            condition.lock()
            state.isStarting = false
            condition.broadcast()
            condition.unlock()
        }
        let ending = Ending()
        // The worker's own threads can't wait for themselves.
        let ender = PoolThread(name: "\(name)-end", cpu: nil) { [self] in
            ending.wait { result in
                worker.end(result)
                finish(result)
            }
        }
        guard let ender else {
            try locked { $0.isStarted = false }
            throw CallError(WorkerError.memory(purpose: "a thread's stack", bytes: 8 << 20))
        }
        try locked { $0.ender = ender }
        worker.listen { [weak self] event in self?.tell(FlatEvent(event)) }
        worker.whenOver { ending.set($0) }
        do {
            try worker.begin()
        } catch {
            ending.set(.failure(error))
            throw CallError(error)
        }
    }

    /// Carries the result to the thread that ends the worker.
    private final class Ending: Sendable {
        private let over = DispatchSemaphore(value: 0)
        private let result = Mutex<Result<Void, WorkerError>?>(nil)

        func set(_ new: Result<Void, WorkerError>) {
            result.withLock { result in if result == nil { result = new } }
            over.signal()
        }

        func wait(_ body: (Result<Void, WorkerError>) -> Void) {
            over.wait()
            if let result = result.withLock({ $0 }) { body(result) }
        }
    }

    private func finish(_ result: Result<Void, WorkerError>) {
        condition.lock()
        state.result = result
        condition.broadcast()
        condition.unlock()
    }

    func drain() throws(CallError) { try worker().drain() }

    func stop() throws(CallError) { try worker().stop() }

    /// - Parameter timeout: milliseconds; negative: no end.
    func wait(timeout: Int64) throws(CallError) {
        let clock = ContinuousClock()
        let deadline = timeout < 0 ? nil : clock.now + .milliseconds(min(timeout, 1 << 40))
        // Not by `locked`: others change the state while this waits.
        condition.lock()
        defer { condition.unlock() }
        guard state.isStarted else { throw CallError(Int(WINNOW_MISUSE), "the worker was not started") }
        while state.result == nil {
            guard let deadline else {
                condition.wait()
                continue
            }
            let left = clock.now.duration(to: deadline) / .seconds(1)
            guard left > 0 else { throw CallError(Int(WINNOW_TIMEOUT), "the worker has not ended") }
            _ = condition.wait(until: Date(timeIntervalSinceNow: left))
        }
        if case .failure(let error) = state.result { throw CallError(error) }
    }

    /// Ends it, and lets go of all it has.
    func destroy() throws(CallError) {
        // Not by `locked`: another thread may be about to start it, and is waited for.
        condition.lock()
        let worker = state.worker
        state.worker = nil
        while state.isStarting { condition.wait() }
        let ender = state.ender
        state.ender = nil
        condition.unlock()
        worker?.stop()
        ender?.join()
        try locked { state in
            close(state.descriptor)
            state.descriptor = -1
            state.events = []
        }
    }

    // MARK: What it tells

    private func tell(_ event: FlatEvent) {
        condition.lock()
        if state.events.count == Self.mostEvents { state.events.removeFirst() }
        state.events.append(event)
        if state.descriptor >= 0 { winnow_parts_signal(state.descriptor) }
        condition.unlock()
        guard let onEvent else { return }
        event.text.withCString { text in
            event.layers.withCString { layers in
                var flat = event.event(text: text, layers: layers)
                callingHost { onEvent(&flat, userData.pointer) }
            }
        }
    }

    /// The oldest event that waits.
    func nextEvent() throws(CallError) -> winnow_event? {
        try locked { state in
            guard let event = state.events.popFirst() else { return nil }
            if state.events.isEmpty, state.descriptor >= 0 { winnow_parts_clear(state.descriptor) }
            free(state.text)
            free(state.layers)
            (state.text, state.layers) = (strdup(event.text), strdup(event.layers))
            return event.event(text: UnsafePointer(state.text), layers: UnsafePointer(state.layers))
        }
    }

    func descriptor() throws(CallError) -> Int32 {
        let descriptor = try locked { $0.descriptor }
        guard descriptor >= 0 else { throw Self.destroyed }
        return descriptor
    }

    func snapshot() throws(CallError) -> WorkerSnapshot { try worker().snapshot }

    /// Good for as long as this object.
    var endpointText: UnsafePointer<CChar>? { UnsafePointer(endpoint) }
}
