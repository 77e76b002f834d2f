/// Numbers both ends of every edge agree on.
package enum Protocol {
    /// Peers of another version are refused.
    package static let version: UInt32 = 5
    /// How often a worker reports.
    package static let reportInterval = Duration.milliseconds(250)
    /// A peer silent for this long is lost, unless it or the coordinator is known to run late.
    package static let silenceLimit = Duration.seconds(3)
    /// A peer whose connection closed has this long to be back.
    package static let returnLimit = Duration.milliseconds(500)
    /// A link that does not come up within this time is named.
    package static let linkLimit = Duration.seconds(3)
    /// Longest frame on a control edge, bytes. With ``controlQueue`` it bounds what a stranger can make a process hold.
    package static let maxControlBytes = 1 << 15
    /// Frames of one peer that may wait on a control edge.
    package static let controlQueue: Int32 = 16
    /// Longest frame on the coordinator's data edge, bytes: what came of a micro-batch, or a prompt's importance.
    package static let maxResultBytes = 1 << 26
    /// Most rows of one micro-batch.
    package static let maxRows = 1 << 13
    /// Most guesses of tokens in one segment.
    package static let maxDrafts = 16
    /// Longest body that is decoded, bytes, tensors aside: a million tokens.
    package static let maxBodyBytes = 1 << 22
}
