// A TCP connection under a test's full control, for what no proper HTTP client does.

import NIOCore
import NIOPosix

/// Bytes out, bytes in.
final class RawConnection {
    private var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private let channel: any Channel

    private init(
        _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator,
        _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>, _ channel: any Channel
    ) {
        self.inbound = inbound
        self.outbound = outbound
        self.channel = channel
    }

    /// Connects, and closes again when `body` ends.
    static func with(port: Int, _ body: (RawConnection) async throws -> Void) async throws {
        let connection = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                        wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
                }
            }
        try await connection.executeThenClose { inbound, outbound in
            try await body(RawConnection(inbound.makeAsyncIterator(), outbound, connection.channel))
        }
    }

    func send(_ text: String) async throws { try await outbound.write(ByteBuffer(string: text)) }

    /// Sends a request with a JSON body.
    func post(_ path: String, _ body: String, headers: String = "") async throws {
        let head = "POST \(path) HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
        try await send("\(head)Content-Length: \(body.utf8.count)\r\n\(headers)\r\n\(body)")
    }

    /// Says that nothing more will be sent.
    func finishSending() { outbound.finish() }

    /// Closes the connection.
    func close() async throws { try await channel.close().get() }

    /// Everything received until it ends with `mark`, or until the server closes.
    func receive(until mark: String? = nil) async throws -> String {
        var text = ""
        while var buffer = try await inbound.next() {
            text += buffer.readString(length: buffer.readableBytes) ?? ""
            if let mark, text.hasSuffix(mark) { break }
        }
        return text
    }
}
