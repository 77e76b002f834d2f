// Watches one client connection for its end, and cuts one whose client stopped reading.

import NIOCore

/// Tells a request that its client is gone while the request only waits for its answer.
///
/// Lives on its channel's event loop, which guards all its state. A client that closes its sending side may still wait
/// for its answer; `ConnectionHandler` finds out.
final class ConnectionMonitor: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    private let writeTime: TimeAmount
    private let refusals: Refusals
    private var isClosed = false
    private var watch: (owner: UInt64, onClose: @Sendable () -> Void)?
    private var stall: Scheduled<Void>?

    /// `writeTime`: how long the client may leave written bytes unread.
    init(writeTime: Duration, refusals: Refusals) {
        self.writeTime = TimeAmount(writeTime)
        self.refusals = refusals
    }

    /// Has `action` called once when the client leaves, at once if it is gone already.
    /// A connection serves one request at a time, so there is one watch at a time; `owner` tells whose.
    static func watch(
        _ channel: any Channel, owner: UInt64, _ action: @escaping @Sendable () -> Void
    ) async throws {
        try await channel.eventLoop.submit {
            let monitor = try channel.pipeline.syncOperations.handler(type: ConnectionMonitor.self)
            guard !monitor.isClosed else { return action() }
            monitor.watch = (owner, action)
        }.get()
    }

    /// Ends the owner's watch, if it stands: the connection's end is no longer of interest to it.
    static func release(_ channel: any Channel, owner: UInt64) {
        channel.eventLoop.execute {
            guard let monitor = try? channel.pipeline.syncOperations.handler(type: ConnectionMonitor.self) else {
                return
            }
            if monitor.watch?.owner == owner { monitor.watch = nil }
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        close()
        endStall()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        close()
        context.fireErrorCaught(error)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        endStall()
        if !context.channel.isWritable {
            let channel = context.channel
            stall = context.eventLoop.scheduleTask(in: writeTime) { [refusals] in
                refusals.note(.slowReader, from: Connections.address(channel.remoteAddress))
                channel.close(promise: nil)
            }
        }
        context.fireChannelWritabilityChanged()
    }

    private func close() {
        isClosed = true
        let action = watch?.onClose
        watch = nil
        action?()
    }

    private func endStall() {
        stall?.cancel()
        stall = nil
    }
}
