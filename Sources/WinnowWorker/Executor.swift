package import Layers
package import Wire

/// The computing half of a worker: holds weights, works messages off one after the other, knows no socket.
///
/// Every completion is called once, on any thread, in the order in which the work was given.
package protocol Executor: AnyObject, Sendable {
    /// Forgets every request, and loads the assignment's layers unless they are loaded already.
    func begin(_ assignment: Assignment, completion: @escaping @Sendable (Result<Void, WorkerError>) -> Void)
    /// Loads layers that may be assigned later.
    func preload(_ layers: LayerSpan, completion: @escaping @Sendable () -> Void)
    /// Forgets every request.
    func forget()
    /// Computes one message; the answer is for the next neighbour. An error means that the message can't have come from a
    /// sound neighbour; what concerns a request alone is in the answer.
    func compute(
        _ message: Message, tensors: [Frame],
        completion: @escaping @Sendable (Result<(Message, [Frame]), MessageError>) -> Void)
    /// Frees what requests hold, once all that was given before is done.
    func release(_ requests: [UInt64], completion: @escaping @Sendable () -> Void)
    /// What is held and under way at this moment.
    var load: WorkerState.Load { get }
    /// Gives up what is under way, and returns when its thread has ended. Not from that thread.
    func stop()
}
