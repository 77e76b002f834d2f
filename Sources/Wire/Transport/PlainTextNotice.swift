// What the log says, again and again, of links that other machines can read and change.

package import Logging

/// Reminds an operator of plain text that leaves the host.
package enum PlainTextNotice {
    /// From one line to the next.
    package static let interval = Duration.seconds(60)

    /// Warns now and each minute while the loop runs; of no endpoints nothing is said.
    ///
    /// - Parameter endpoints: those that other machines reach and that have no keys.
    package static func repeats(of endpoints: [Endpoint], on loop: SocketLoop, _ logger: Logger) {
        guard !endpoints.isEmpty else { return }
        let names = endpoints.map(\.description).joined(separator: ", ")
        func warn() {
            logger.warning(
                "insecure: links are plain text, and anybody may join, read and change them",
                metadata: ["endpoints": "\(names)", "fix": "give keys (winnow keys new) instead of --insecure"])
        }
        warn()
        loop.every(interval) { warn() }
    }
}
