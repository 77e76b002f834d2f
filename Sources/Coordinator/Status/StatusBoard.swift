// Where the coordinator's thread leaves the newest status for everyone else.

import Synchronization

/// The newest snapshot.
package final class StatusBoard: Sendable {
    private let newest: Mutex<FleetStatus>

    package init(model: String) {
        var first = FleetStatus()
        first.model = model
        first.notReady = "starting"
        newest = Mutex(first)
    }

    /// How often a new one comes.
    package static let interval = Duration.milliseconds(500)

    package var status: FleetStatus { newest.withLock { $0 } }

    /// Replaces it; model and count go on.
    package func publish(_ status: FleetStatus) {
        newest.withLock { newest in
            var next = status
            next.model = newest.model
            next.sequence = newest.sequence + 1
            newest = next
        }
    }
}
