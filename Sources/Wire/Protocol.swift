/// Numbers both ends of every edge agree on.
package enum Protocol {
    /// Peers of another version are refused.
    package static let version: UInt32 = 2
    package static let heartbeatInterval = Duration.milliseconds(500)
    /// A peer silent for this long is lost. Requests it held end well within 5 seconds.
    package static let silenceLimit = Duration.seconds(3)
    /// Longest envelope on a control edge, bytes.
    package static let maxControlBytes = 1 << 20
    /// Longest envelope or tensor frame on a data edge, bytes.
    package static let maxDataBytes = 1 << 30
    /// Most rows of one micro-batch.
    package static let maxRows = 1 << 16
}
