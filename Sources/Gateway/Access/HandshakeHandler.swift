// Begins TLS on a connection once its client has said hello, and ends one whose handshake fails or takes too long.

import NIOCore
import NIOSSL
import NIOTLS

/// Stands where TLS is to be, until its handshake is done.
///
/// What TLS keeps of a connection is several times what the connection itself takes. So nothing is made for a client that is
/// silent, or stops in the middle of its first record.
///
/// Lives on its channel's event loop, which guards all its state.
final class HandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    /// The longest first record that is waited for, in bytes; hellos take a tenth of it.
    private static let longestHello = 16 << 10

    private let identity: TLSIdentity
    private let time: Duration
    private let access: Access
    /// Of the first record; nil once TLS has begun.
    private var hello: ByteBuffer? = ByteBuffer()
    private var timer: Scheduled<Void>?
    private var isDone = false

    /// - Parameter time: the longest a handshake may take, from the connection's begin.
    init(_ identity: TLSIdentity, time: Duration, access: Access) {
        self.identity = identity
        self.time = time
        self.access = access
    }

    func channelActive(context: ChannelHandlerContext) {
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(time)) { [weak self] in
            self?.fail(.slowHandshake, context)
        }
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard var hello else { return context.fireChannelRead(data) }
        var bytes = unwrapInboundIn(data)
        hello.writeBuffer(&bytes)
        self.hello = hello
        guard let isWhole = Self.isWhole(hello) else { return fail(.handshake, context) }
        guard isWhole else { return }
        guard access.admitsHandshake(from: Connections.address(context.channel.remoteAddress)) else {
            return fail(.manyHandshakes, context)
        }
        self.hello = nil
        let pipeline = context.pipeline.syncOperations
        do {
            try pipeline.addHandler(NIOSSLServerHandler(context: identity.context), position: .before(self))
        } catch {
            return context.close(promise: nil)
        }
        pipeline.fireChannelRead(NIOAny(hello))
    }

    /// Whether the first record has arrived whole; nil: it is none of a handshake, or too long.
    static func isWhole(_ hello: ByteBuffer) -> Bool? {
        guard let type: UInt8 = hello.getInteger(at: hello.readerIndex) else { return false }
        // A handshake's, and of version 3.something, which TLS is.
        guard type == 22 else { return nil }
        guard hello.readableBytes >= 5 else { return false }
        guard hello.getInteger(at: hello.readerIndex + 1, as: UInt8.self) == 3,
            let length: UInt16 = hello.getInteger(at: hello.readerIndex + 3), length <= longestHello
        else { return nil }
        return hello.readableBytes >= 5 + Int(length)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        context.fireUserInboundEventTriggered(event)
        guard case .handshakeCompleted? = event as? TLSUserEvent else { return }
        end()
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if !isDone {
            end()
            access.refusals.note(.handshake, from: Connections.address(context.channel.remoteAddress))
        }
        context.fireErrorCaught(error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    private func fail(_ reason: Refusals.Reason, _ context: ChannelHandlerContext) {
        guard !isDone else { return }
        end()
        access.refusals.note(reason, from: Connections.address(context.channel.remoteAddress))
        context.close(promise: nil)
    }

    private func end() {
        isDone = true
        timer?.cancel()
        timer = nil
    }
}
