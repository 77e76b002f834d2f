// The status as bytes: encoded once for all who look, and how many may look on.

import Coordinator
import Foundation
import NIOCore
import Synchronization

/// Hands out the coordinator's newest status.
final class StatusFeed: Sendable {
    /// The most streams at a time; more get 503.
    static let mostWatchers = 16
    /// A stream tells nothing more often than this.
    static let interval = Duration.milliseconds(500)

    private struct State {
        var sequence: UInt64?
        var text = ByteBuffer()
        var watchers = 0
        var isOver = false
    }

    private let service: any GenerationService
    private let version: String
    private let state = Mutex(State())

    init(_ service: any GenerationService, version: String) {
        self.service = service
        self.version = version
    }

    /// The newest status as JSON on one line, and its number.
    func newest() throws -> (sequence: UInt64, text: ByteBuffer) {
        var status = service.status()
        let known = state.withLock { $0.sequence == status.sequence ? $0.text : nil }
        if let known { return (status.sequence, known) }
        status.release = version
        let text = ByteBuffer(bytes: try status.json())
        state.withLock { state in
            state.sequence = status.sequence
            state.text = text
        }
        return (status.sequence, text)
    }

    /// The server ends, and with it every stream.
    func end() { state.withLock { $0.isOver = true } }

    var isOver: Bool { state.withLock { $0.isOver } }

    /// A place among the watchers, until its last reference is gone; `nil`: there are too many, or the server ends.
    func watch() -> Watcher? {
        let isTaken = state.withLock { state in
            guard !state.isOver, state.watchers < Self.mostWatchers else { return false }
            state.watchers += 1
            return true
        }
        return isTaken ? Watcher(self) : nil
    }

    /// One stream.
    final class Watcher: Sendable {
        let feed: StatusFeed

        fileprivate init(_ feed: StatusFeed) { self.feed = feed }

        deinit { feed.state.withLock { $0.watchers -= 1 } }
    }
}
