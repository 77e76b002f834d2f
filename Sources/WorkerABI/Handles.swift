// Names for workers that C can hold.

import CWinnowWorker
import Synchronization

/// The workers that C has names for. A name is never given twice, so a stale one is found out.
final class Handles: Sendable {
    private struct State {
        var last: UInt = 0
        var workers: [UInt: HostedWorker] = [:]
    }
    private let state = Mutex(State())

    static let all = Handles()

    func add(_ worker: HostedWorker) -> OpaquePointer? {
        state.withLock { state in
            state.last += 1
            state.workers[state.last] = worker
            // No address: whoever follows it, by mistake, falls at once.
            return OpaquePointer(bitPattern: state.last << 4)
        }
    }

    func worker(_ handle: OpaquePointer?) throws(CallError) -> HostedWorker {
        guard let handle else { throw .argument("worker", "is NULL") }
        guard let worker = state.withLock({ $0.workers[Self.number(handle)] }) else { throw Self.stale }
        return worker
    }

    /// Takes the name away: of two who destroy a worker one succeeds.
    func remove(_ handle: OpaquePointer) throws(CallError) -> HostedWorker {
        guard let worker = state.withLock({ $0.workers.removeValue(forKey: Self.number(handle)) }) else {
            throw Self.stale
        }
        return worker
    }

    private static func number(_ handle: OpaquePointer) -> UInt {
        let bits = UInt(bitPattern: handle)
        return bits & 15 == 0 ? bits >> 4 : 0
    }

    private static var stale: CallError {
        CallError(Int(WINNOW_INVALID_HANDLE), "the worker was destroyed, or the handle is none")
    }
}
