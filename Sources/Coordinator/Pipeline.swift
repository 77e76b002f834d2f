import Wire

/// The pipeline of one epoch, from its last worker's ready to its end: the edge into it, the check of what comes out,
/// and the scheduler of what is under way.
struct Pipeline {
    /// Its place among the cluster's pipelines, of which this version has one.
    let number = 0
    let epoch: UInt64
    private let edge: OutgoingEdge
    /// Of the edge from the last stage.
    var check: SequenceCheck
    var scheduler: Scheduler
    /// Rows of each micro-batch that has not come out yet.
    var rowsUnderWay: [UInt64: Int] = [:]
    /// The edge to stage 0 stands.
    var isLinked = false
    /// The edge has not come up for so long that the operator was told.
    var isLate = false
    let since = ContinuousClock.now

    /// Starts connecting to stage 0 at `first`.
    init(epoch: UInt64, first: String, context: ZeroMQContext, limits: Scheduler.Limits) throws(ZeroMQError) {
        self.epoch = epoch
        edge = try OutgoingEdge(
            to: first, identity: "coordinator-\(epoch)", context: context,
            limits: Socket.Limits(maxFrameBytes: Protocol.maxDataBytes))
        check = SequenceCheck(epoch: epoch)
        scheduler = Scheduler(limits: limits)
    }

    /// Whether the edge takes a message. The probe has number 0, which the receiver's sequence check does not count.
    func probe() -> Bool {
        let message = Message(epoch: epoch, sequence: 0, .ready(Ready()))
        guard let frames = try? message.frames() else { return false }
        return (try? edge.socket.send(frames)) == .sent
    }

    /// Sends to stage 0. Returns what is wrong when it can't.
    func send(_ body: Envelope.OneOf_Body) -> String? {
        do {
            return try edge.send(epoch: epoch, body) == .sent ? nil : "the link to stage 0 at \(edge.endpoint) is down"
        } catch {
            return "\(error)"
        }
    }
}
