// HTTPS on real sockets: versions, certificates that change, clients that must show one, handshakes that never end.

import AsyncHTTPClient
import ChildPrograms
import Coordinator
import Foundation
import Gateway
import InMemoryLogging
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import SecretFiles
import Synchronization
import Testing

@Suite("TLS", .timeLimit(.minutes(1)))
struct TLSTests {
    private static let body = #"{"model": "scripted", "prompt": "x"}"#

    /// The server's files in a folder, where a test may change them.
    private struct Files {
        let folder: String
        var tls: TLSFiles {
            TLSFiles(certificate: folder + "/tls.pem", key: folder + "/tls.key")
        }

        init(in folder: String, _ name: String = "server") throws {
            self.folder = folder
            try put(name, key: name)
        }

        /// Puts another certificate in the place of the one there is.
        func put(_ name: String, key: String) throws {
            try copy("\(name).pem", to: "tls.pem")
            try copy("\(key).key", to: "tls.key")
        }

        func copy(_ fixture: String, to name: String, mode: Int = 0o600) throws {
            let bytes = try Data(contentsOf: URL(fileURLWithPath: Self.fixture(fixture)))
            let path = "\(folder)/\(name)"
            try bytes.write(to: URL(fileURLWithPath: path), options: .atomic)
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        }

        static func fixture(_ name: String) -> String {
            URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/tls/\(name)").path
        }

        static func certificate(_ name: String) throws -> NIOSSLCertificate {
            try #require(try NIOSSLCertificate.fromPEMFile(fixture(name)).first)
        }
    }

    /// What a client trusts that knows the authority.
    private static func trusting() throws -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .certificates([try Files.certificate("ca.pem")])
        return configuration
    }

    private func with(
        clientCA: String? = nil, limits: GatewayLimits = .init(), logger: Logger = .silent,
        _ body: (TestGateway, Files, GatewaySecurity) async throws -> Void
    ) async throws {
        try await Scratch.with { folder in
            let files = try Files(in: folder)
            var tls = files.tls
            tls.clientCA = clientCA
            let security = GatewaySecurity(keys: nil, tls: try TLSIdentity(tls))
            let service = try ScriptedService { hand in
                hand.say("late")
                hand.finish()
            }
            try await TestGateway.with(service, limits: limits, security: security, logger: logger) {
                try await body($0, files, security)
            }
        }
    }

    private func get(_ path: String, _ gateway: TestGateway, _ tls: TLSConfiguration) async throws -> (Int, String) {
        var configuration = HTTPClient.Configuration()
        configuration.tlsConfiguration = tls
        configuration.connectionPool.retryConnectionEstablishment = false
        return try await HTTPClient.withHTTPClient(configuration: configuration) { client in
            let reply = try await client.execute(
                HTTPClientRequest(url: "https://localhost:\(gateway.port)\(path)"), timeout: .seconds(20))
            return (Int(reply.status.code), String(buffer: try await reply.body.collect(upTo: 1 << 20)))
        }
    }

    @Test("Requests, streams and connections that stay are as over plain text")
    func serves() async throws {
        try await with { (gateway, _, _) async throws in
            var configuration = HTTPClient.Configuration()
            configuration.tlsConfiguration = try Self.trusting()
            try await HTTPClient.withHTTPClient(configuration: configuration) { client in
                for stream in [false, true, false] {
                    var request = HTTPClientRequest(url: "https://127.0.0.1:\(gateway.port)/v1/completions")
                    request.method = .POST
                    request.headers.add(name: "content-type", value: "application/json")
                    request.body = .bytes(
                        ByteBuffer(string: #"{"model": "scripted", "prompt": "x", "stream": \#(stream)}"#))
                    let reply = try await client.execute(request, timeout: .seconds(20))
                    let text = String(buffer: try await reply.body.collect(upTo: 1 << 20))
                    // A stream has its text in pieces.
                    #expect(reply.status == .ok && (stream || text.contains("late")))
                    #expect(text.contains("[DONE]") == stream)
                }
            }
            // Who does not know the authority does not trust it.
            await #expect(throws: (any Error).self) {
                _ = try await get("/health/live", gateway, .makeClientConfiguration())
            }
        }
    }

    @Test("TLS 1.2 and 1.3 are spoken, what is older is refused and counted")
    func versions() async throws {
        try await with { (gateway, _, _) async throws in
            for version in [TLSVersion.tlsv12, .tlsv13] {
                var tls = try Self.trusting()
                (tls.minimumTLSVersion, tls.maximumTLSVersion) = (version, version)
                #expect(try await get("/health/live", gateway, tls).0 == 200)
            }
            for version in [TLSVersion.tlsv1, .tlsv11] {
                var tls = try Self.trusting()
                (tls.minimumTLSVersion, tls.maximumTLSVersion) = (version, version)
                await #expect(throws: (any Error).self) { _ = try await get("/health/live", gateway, tls) }
            }
            // Plain text is no handshake either.
            await #expect(throws: (any Error).self) { _ = try await gateway.get("/health/live") }
            let metrics = try await get("/metrics", gateway, try Self.trusting()).1
            let refused = try #require(metrics.firstMatch(of: /http_refused_total\{reason="tls_handshake"\} (\d+)/))
            #expect(Int(refused.1).map { $0 >= 3 } == true)
        }
    }

    /// Clients of other makers, where they are installed.
    @Test(
        "OpenSSL and curl are refused what is older than TLS 1.2", .enabled(if: Tool.openssl != nil && Tool.curl != nil)
    )
    func others() async throws {
        try await with { (gateway, _, _) async throws in
            let ca = Files.fixture("ca.pem")
            for (flag, isSpoken) in [("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
                let run = try await Tool.run(
                    Tool.openssl,
                    [
                        "s_client", "-connect", "127.0.0.1:\(gateway.port)", flag, "-CAfile", ca, "-cipher",
                        "DEFAULT:@SECLEVEL=0", "-verify_return_error",
                    ])
                #expect((run.status == 0) == isSpoken, "\(flag): \(run.text.suffix(600))")
                #expect(run.text.contains("alert protocol version") != isSpoken, "\(flag): \(run.text.suffix(600))")
            }
            let url = "https://localhost:\(gateway.port)/health/live"
            for (most, isSpoken) in [("1.1", false), ("1.2", true), ("1.3", true)] {
                let run = try await Tool.run(
                    Tool.curl,
                    [
                        "-sS", "--noproxy", "*", "--cacert", ca, "--tlsv1.0", "--tls-max", most, "--ciphers",
                        "DEFAULT:@SECLEVEL=0", url,
                    ])
                #expect((run.status == 0) == isSpoken, "\(most): \(run.text)")
                #expect(run.text.contains("live") == isSpoken, "\(most): \(run.text)")
            }
        }
    }

    @Test("A new certificate is shown to new connections; one that is no good changes nothing and is logged")
    func reload() async throws {
        let lines = InMemoryLogHandler()
        try await with(logger: Logger(label: "test") { _ in lines }) { (gateway, files, security) async throws in
            let logger = Logger(label: "test") { _ in lines }
            #expect(try await shown(gateway) == Files.certificate("server.pem"))
            try files.put("other", key: "other")
            security.reload(isAsked: true, logger)
            #expect(try await shown(gateway) == Files.certificate("other.pem"))

            func bad(_ says: String, _ change: () throws -> Void) async throws {
                try change()
                security.reload(isAsked: true, logger)
                let line = try #require(lines.entries.last { $0.level == .error })
                #expect(line.metadata["problem"]?.description.contains(says) == true, "\(line)")
                #expect(try await shown(gateway) == Files.certificate("other.pem"))
            }
            try await bad("is not the private key of") { try files.put("server", key: "other") }
            try await bad("expired on 2020-01-02") { try files.put("expired", key: "expired") }
            try await bad("holds no certificates") { try files.copy("server.key", to: "tls.pem") }
            try await bad("is no private key") {
                try files.put("server", key: "server")
                try files.copy("server.pem", to: "tls.key")
            }
            try await bad("others may read it (mode 644)") { try files.copy("server.key", to: "tls.key", mode: 0o644) }
            try await bad("can't be read") { try FileManager.default.removeItem(atPath: files.tls.certificate) }

            try files.put("server", key: "server")
            security.reload(isAsked: false, logger)
            #expect(try await shown(gateway) == Files.certificate("server.pem"))
        }
    }

    @Test("A server does not start with a certificate that is no good")
    func badStart() throws {
        try Scratch.withFolder { folder in
            let files = try Files(in: folder)
            _ = try TLSIdentity(files.tls)
            try files.put("server", key: "other")
            #expect(throws: SecretFileError.self) { try TLSIdentity(files.tls) }
            try files.put("server", key: "server")
            var tls = files.tls
            tls.clientCA = folder + "/none"
            #expect(throws: SecretFileError.self) { try TLSIdentity(tls) }
        }
    }

    @Test("With an authority for clients, only those with its certificate are served")
    func clientCertificates() async throws {
        try await with(clientCA: Files.fixture("ca.pem")) { (gateway, _, _) async throws in
            func client(_ certificate: String?, _ version: TLSVersion) throws -> TLSConfiguration {
                var tls = try Self.trusting()
                (tls.minimumTLSVersion, tls.maximumTLSVersion) = (version, version)
                if let certificate {
                    tls.certificateChain = [.certificate(try Files.certificate("\(certificate).pem"))]
                    tls.privateKey = .privateKey(
                        try NIOSSLPrivateKey(file: Files.fixture("\(certificate).key"), format: .pem))
                }
                return tls
            }
            for version in [TLSVersion.tlsv12, .tlsv13] {
                #expect(try await get("/health/live", gateway, client("client", version)).0 == 200)
                // None, one for another use, one that has expired.
                for certificate in [nil, "server", "expired"] {
                    await #expect(throws: (any Error).self, "\(certificate ?? "none")") {
                        _ = try await get("/health/live", gateway, client(certificate, version))
                    }
                }
            }
        }
    }

    @Test("A handshake that never ends is ended, and counted", arguments: ["", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}"])
    func endless(bytes: String) async throws {
        let lines = InMemoryLogHandler()
        let logger = Logger(label: "test") { _ in lines }
        try await with(limits: .init(headTime: .milliseconds(50)), logger: logger) { (gateway, _, _) async throws in
            try await RawConnection.with(port: gateway.port) { connection in
                if !bytes.isEmpty { try await connection.send(bytes) }
                #expect(try await connection.receive() == "")
            }
            let line = try #require(lines.entries.first { $0.message == "refused" })
            #expect(line.metadata["reason"] == "slow_tls_handshake")
        }
    }

    @Test("An address that makes handshakes all day is cut off, and counted")
    func manyHandshakes() async throws {
        // Three at once, and then one a second.
        let limits = GatewayLimits(
            connections: 4, connectionsPerAddress: 1, reservedConnections: 1, handshakesPerSecond: 1)
        let lines = InMemoryLogHandler()
        let logger = Logger(label: "test") { _ in lines }
        try await with(limits: limits, logger: logger) { (gateway, _, _) async throws in
            let tls = try Self.trusting()
            let start = ContinuousClock.now
            var served = 0
            var isCutOff = false
            while !isCutOff {
                do {
                    #expect(try await get("/health/live", gateway, tls).0 == 200)
                    served += 1
                } catch {
                    isCutOff = true
                }
            }
            let seconds = Int(start.duration(to: .now) / .seconds(1))
            #expect((3...4 + seconds).contains(served))
            let line = try #require(lines.entries.first { $0.message == "refused" })
            #expect(line.metadata["reason"] == "many_tls_handshakes")
        }
    }

    @Test("With every connection in half a handshake, requests are answered")
    func halfHandshakes() async throws {
        let limits = GatewayLimits(connections: 4, connectionsPerAddress: 4, reservedConnections: 2)
        try await with(limits: limits) { (gateway, _, _) async throws in
            let tls = try Self.trusting()
            func held(_ left: Int, _ body: @Sendable () async throws -> Void) async throws {
                guard left > 0 else { return try await body() }
                try await RawConnection.with(port: gateway.port) { connection in
                    try await connection.send("\u{16}\u{3}\u{1}")
                    try await held(left - 1, body)
                }
            }
            try await held(20) { () async throws -> Void in
                #expect(try await get("/health/live", gateway, tls).0 == 200)
                #expect(try await get("/v1/models", gateway, tls).0 == 200)
            }
        }
    }

    /// The certificate that a new connection is shown.
    private func shown(_ gateway: TestGateway) async throws -> NIOSSLCertificate? {
        let context = try NIOSSLContext(configuration: try Self.trusting())
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let seen = loop.makePromise(of: NIOSSLCertificate?.self)
        let channel = try await ClientBootstrap(group: loop).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                let handler = try NIOSSLClientHandler(context: context, serverHostname: "localhost")
                try channel.pipeline.syncOperations.addHandlers([handler, Look(seen)])
            }
        }.connect(host: "127.0.0.1", port: gateway.port).get()
        let certificate = try await seen.futureResult.get()
        try await channel.close().get()
        return certificate
    }

    /// Tells the server's certificate once its handshake is done.
    private final class Look: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let seen: EventLoopPromise<NIOSSLCertificate?>

        init(_ seen: EventLoopPromise<NIOSSLCertificate?>) { self.seen = seen }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            let handler = try? context.pipeline.syncOperations.handler(type: NIOSSLClientHandler.self)
            seen.succeed(handler?.peerCertificate)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { seen.fail(error) }
    }
}

/// Programs of other makers.
enum Tool {
    static let openssl = path("openssl")
    static let curl = path("curl")

    private static func path(_ name: String) -> String? {
        ["/usr/bin/", "/usr/local/bin/"].map { $0 + name }.first(where: FileManager.default.isExecutableFile)
    }

    /// Runs a program without input, to its end.
    static func run(_ path: String?, _ arguments: [String]) async throws -> (status: Int32, text: String) {
        let (end, output, log) = try await ChildProgram(try #require(path), arguments).finish()
        guard case .exit(let status) = end else { return (-1, log) }
        return (status, output + log)
    }
}
