// The generations of one answer, on their client's connection.

import Coordinator
import NIOCore
import Synchronization

/// One answer's choices: those under way, and those that wait until the coordinator has room for them.
///
/// While it stands, the client's leaving or a shutdown cancels them. It ends with `end()`, or its last reference.
final class OpenAnswer: Sendable {
    /// A choice under way.
    struct Running: Sendable {
        var choice: Int
        var generation: Generation
    }
    private struct State {
        var running: [Int: Generation] = [:]
        /// Under way, and not yet handed out by `begin()`'s caller.
        var fresh: [Running] = []
        /// The first choice not submitted yet.
        var next = 0
        var isOver = false
        var clientLeft = false
        /// Whose watch it is on the connection.
        var owner: UInt64?
    }

    let call: Call
    let service: any GenerationService
    private let channel: any Channel
    private let open: OpenGenerations
    private let state = Mutex(State())

    init(_ call: Call, to service: any GenerationService, on channel: any Channel, among open: OpenGenerations) {
        self.call = call
        self.service = service
        self.channel = channel
        self.open = open
    }

    deinit { end() }

    /// Whether the client is known to be gone.
    var clientLeft: Bool { state.withLock { $0.clientLeft } }

    /// Submits the choices that wait, in order, as far as the coordinator has room.
    ///
    /// - Throws: when one is refused for good, or for want of room while no other of this answer is under way, whose end
    ///   would make some.
    func begin() throws(APIError) {
        while let choice = state.withLock({ !$0.isOver && $0.next < call.choices.count ? $0.next : nil }) {
            let generation: Generation
            do {
                generation = try service.submit(call.choices[choice].request)
            } catch {
                if error.code == .overloaded, state.withLock({ !$0.running.isEmpty }) { return }
                throw call.error(error, choice: choice)
            }
            open.add(generation)
            let isOver = state.withLock { state in
                state.next += 1
                state.owner = state.owner ?? generation.id
                guard !state.isOver else { return true }
                state.running[choice] = generation
                state.fresh.append(Running(choice: choice, generation: generation))
                return false
            }
            if isOver { abandon([generation]) }
        }
    }

    /// The choices that `begin()` has submitted since the last call.
    func takeFresh() -> [Running] {
        state.withLock { state in
            defer { state.fresh = [] }
            return state.fresh
        }
    }

    /// A choice has come to its end.
    func ended(_ choice: Int) {
        guard let generation = state.withLock({ $0.running.removeValue(forKey: choice) }) else { return }
        open.remove(generation.id)
    }

    /// Cancels the generations once the client leaves.
    func watch() async throws {
        guard let owner = state.withLock({ $0.owner }) else { return }
        try await ConnectionMonitor.watch(channel, owner: owner) { [weak self] in
            guard let self else { return }
            state.withLock { $0.clientLeft = true }
            for generation in state.withLock({ Array($0.running.values) }) { generation.cancel() }
        }
    }

    /// Cancels what is under way and gives up the place on the connection.
    func end() {
        let (running, owner) = state.withLock { state in
            defer {
                state.running = [:]
                state.fresh = []
                state.isOver = true
                state.owner = nil
            }
            return (Array(state.running.values), state.owner)
        }
        abandon(running)
        if let owner { ConnectionMonitor.release(channel, owner: owner) }
    }

    private func abandon(_ generations: [Generation]) {
        for generation in generations {
            generation.cancel()
            open.remove(generation.id)
        }
    }
}
