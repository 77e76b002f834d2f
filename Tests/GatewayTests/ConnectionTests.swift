// Clients that leave, stall, send too much or speak badly.

import Coordinator
import Gateway
import NIOCore
import Testing
import Transformer

@Suite("Connections", .timeLimit(.minutes(1)))
struct ConnectionTests {
    private static let body = #"{"model": "scripted", "prompt": "x"}"#
    private static let streamed = #"{"model": "scripted", "prompt": "x", "stream": true}"#

    @Test("A client that leaves before the first token cancels its request", arguments: [body, streamed])
    func leaveEarly(body: String) async throws {
        let service = try ScriptedService()
        try await TestGateway.with(service, limits: .init(halfCloseTime: .milliseconds(20))) { gateway in
            try await RawConnection.with(port: gateway.port) { connection in
                try await connection.post("/v1/completions", body)
                _ = await service.submissions.first()
                try await connection.close()
            }
            #expect(await service.cancellations.first() == 1)
        }
    }

    @Test("A client that leaves in the middle of a stream cancels its request")
    func leaveLate() async throws {
        let service = try ScriptedService()
        try await TestGateway.with(service, limits: .init(halfCloseTime: .milliseconds(20))) { gateway in
            try await RawConnection.with(port: gateway.port) { connection in
                try await connection.post("/v1/completions", Self.streamed)
                let hand = try #require(await service.submissions.first())
                hand.prompt()
                hand.say("x")
                _ = try await connection.receive(until: "\n\n\r\n")
                try await connection.close()
            }
            #expect(await service.cancellations.first() == 1)
        }
    }

    @Test("A client that stops sending for good still gets its answer", arguments: [body, streamed])
    func halfClose(body: String) async throws {
        let service = try ScriptedService()
        try await TestGateway.with(service, limits: .init(halfCloseTime: .seconds(60))) { gateway in
            try await RawConnection.with(port: gateway.port) { connection in
                try await connection.post("/v1/completions", body)
                connection.finishSending()
                let hand = try #require(await service.submissions.first())
                hand.prompt()
                hand.say("late")
                hand.finish()
                let answer = try await connection.receive()
                let end = body == Self.streamed ? "[DONE]" : #""text":"late""#
                #expect(answer.hasPrefix("HTTP/1.1 200 OK") && answer.contains(end), "\(answer)")
            }
        }
    }

    @Test("Asked whether it is still there, it is, and the answer follows")
    func halfCloseLong() async throws {
        let service = try ScriptedService()
        try await TestGateway.with(service, limits: .init(halfCloseTime: .milliseconds(5))) { gateway in
            try await RawConnection.with(port: gateway.port) { connection in
                try await connection.post("/v1/completions", Self.body)
                connection.finishSending()
                let hand = try #require(await service.submissions.first())
                #expect(try await connection.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 100 Continue\r\n\r\n"))
                hand.prompt()
                hand.say("late")
                hand.finish()
                let answer = try await connection.receive()
                #expect(answer.contains("HTTP/1.1 200 OK") && answer.contains("late"), "\(answer)")
            }
        }
    }

    @Test("A client that does not read is cut off, and its request cancelled")
    func unread() async throws {
        let top = (0..<20).map { TokenLogProbability(token: $0 + 5, logProbability: -1) }
        let service = try ScriptedService { submission in
            submission.prompt()
            // About 40 MB of events: more than any socket buffer takes in.
            for _ in 0..<20_000 { submission.say(token: 5, top: top) }
        }
        try await TestGateway.with(service, limits: .init(writeTime: .milliseconds(100))) { gateway in
            try await RawConnection.with(port: gateway.port) { connection in
                try await connection.post(
                    "/v1/chat/completions",
                    #"""
                    {"model": "scripted", "messages": [{"role": "user", "content": "x"}], "stream": true,
                     "logprobs": true, "top_logprobs": 20}
                    """#)
                #expect(await service.cancellations.first() == 1)
            }
        }
    }

    @Test("One connection serves request after request")
    func keepAlive() async throws {
        let service = try ScriptedService { submission in
            submission.prompt()
            submission.say("x")
            submission.finish()
        }
        try await TestGateway.with(service) { gateway in
            try await RawConnection.with(port: gateway.port) { connection in
                for body in [Self.streamed, Self.body, "no JSON", Self.streamed] {
                    try await connection.post("/v1/completions", body)
                    let end = body == Self.streamed ? "0\r\n\r\n" : "}"
                    #expect(try await connection.receive(until: end).hasPrefix("HTTP/1.1 "))
                }
            }
        }
    }

    @Test("A client that asks before it sends is told to go on")
    func expectContinue() async throws {
        let service = try ScriptedService { $0.finish() }
        try await TestGateway.with(service) { gateway in
            try await RawConnection.with(port: gateway.port) { connection in
                try await connection.post(
                    "/v1/completions", "", headers: "Expect: 100-continue\r\n")
                let answer = try await connection.receive(until: "}")
                #expect(answer.hasPrefix("HTTP/1.1 100 Continue\r\n\r\n"))
            }
        }
    }

    @Test("A body over the limit is refused, whether its size is told or not")
    func tooLarge() async throws {
        let service = try ScriptedService { $0.finish() }
        try await TestGateway.with(service, limits: .init(bodyBytes: 1000)) { gateway in
            let reply = try await gateway.complete(String(repeating: " ", count: 1001))
            #expect(reply.status == 413)
            #expect(reply.text.contains("1000 bytes"))
            #expect(reply.headers["connection"] == "close")
            try await RawConnection.with(port: gateway.port) { connection in
                try await connection.send(
                    "POST /v1/completions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
                        + "Transfer-Encoding: chunked\r\n\r\n")
                try await connection.send("800\r\n" + String(repeating: " ", count: 0x800) + "\r\n")
                #expect(try await connection.receive(until: "}").hasPrefix("HTTP/1.1 413"))
            }
        }
    }

    @Test("A body that does not come in time is refused")
    func tooSlow() async throws {
        let service = try ScriptedService { $0.finish() }
        try await TestGateway.with(service, limits: .init(bodyTime: .milliseconds(50))) { gateway in
            try await RawConnection.with(port: gateway.port) { connection in
                try await connection.send(
                    "POST /v1/completions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
                        + "Content-Length: 50\r\n\r\n{")
                #expect(try await connection.receive().hasPrefix("HTTP/1.1 408"))
            }
        }
    }

    @Test("A silent connection is closed")
    func idle() async throws {
        let service = try ScriptedService { $0.finish() }
        try await TestGateway.with(service, limits: .init(idleTime: .milliseconds(50))) { gateway in
            try await RawConnection.with(port: gateway.port) { connection in
                let received = try await connection.receive()
                #expect(received.isEmpty)
            }
        }
    }

    @Test("What is no HTTP is refused and the connection closed")
    func noHTTP() async throws {
        let service = try ScriptedService { $0.finish() }
        try await TestGateway.with(service) { gateway in
            try await RawConnection.with(port: gateway.port) { connection in
                try await connection.send("\u{16}\u{3}\u{1} hello\r\n\r\n")
                let answer = try await connection.receive()
                #expect(answer.hasPrefix("HTTP/1.1 400"))
                #expect(answer.contains("invalid_http"))
            }
            #expect(try await gateway.get("/health/live").status == 200)
        }
    }
}
