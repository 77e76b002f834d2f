// How a gateway comes up, says how it is, and goes.

import Coordinator
import Gateway
import InMemoryLogging
import Logging
import Testing

@Suite("Life of a gateway", .timeLimit(.minutes(1)))
struct LifeTests {
    @Test("Models and health")
    func facts() async throws {
        let service = try ScriptedService()
        try await TestGateway.with(service) { gateway in
            let list = try await gateway.get("/v1/models").json
            #expect(list["object"] == .string("list"))
            #expect(list["data"]?[0]?["id"] == .string("scripted"))
            #expect(list["data"]?[0]?["object"] == .string("model"))
            #expect(list["data"]?[0]?["max_model_len"] == .number(2048))
            #expect(try await gateway.get("/v1/models/scripted").json == list["data"]?[0])
            #expect(try await gateway.get("/v1/models/some%2Fother").json["error"]?["param"] == .string("model"))
            #expect(try await gateway.get("/health/live").status == 200)
            #expect(try await gateway.get("/health/live", head: true).text == "")
            #expect(try await gateway.get("/health/ready").status == 200)
            service.set(.notReady(reason: "stage 2 of 3 has no worker"))
            let reply = try await gateway.get("/health/ready")
            #expect(reply.status == 503)
            #expect(try reply.json["reason"] == .string("stage 2 of 3 has no worker"))
            #expect(try await gateway.get("/health/live").status == 200)
        }
    }

    @Test("A port in use is named, with what to do")
    func portInUse() async throws {
        let service = try ScriptedService()
        try await TestGateway.with(service) { gateway in
            let second = Gateway(service: service, port: gateway.port, logger: .silent)
            let error = try #require(await #expect(throws: GatewayError.self) { try await second.run() })
            #expect(error.address == "127.0.0.1:\(gateway.port)")
            #expect("\(error)".contains("port \(gateway.port) is in use"))
        }
    }

    @Test("A host that is nobody's is named")
    func foreignHost() async throws {
        let gateway = Gateway(service: try ScriptedService(), host: "192.0.2.1", port: 0, logger: .silent)
        let error = try #require(await #expect(throws: GatewayError.self) { try await gateway.run() })
        #expect("\(error)".contains("192.0.2.1"))
    }

    @Test("While it drains, it says so and takes nobody new")
    func drain() async throws {
        let service = try ScriptedService()
        try await TestGateway.with(service) { gateway in
            async let reply = gateway.complete(#"{"model": "scripted", "prompt": "x"}"#)
            let hand = try #require(await service.submissions.first())
            async let drained: Void = gateway.drain()
            while try await gateway.get("/health/ready").status == 200 { await Task.yield() }
            #expect(try await gateway.get("/health/ready").json["reason"] == .string("the coordinator is ending"))
            #expect(try await gateway.get("/health/live").status == 200)
            let late = try await gateway.complete(#"{"model": "scripted", "prompt": "x"}"#)
            #expect(late.status == 503 && late.headers["retry-after"] == "5")
            #expect(try late.json["error"]?["code"] == .string("unavailable"))
            hand.say("late")
            hand.finish()
            #expect(try await reply.json["choices"]?[0]?["text"] == .string("late"))
            await drained
        }
    }

    @Test("What takes too long to drain is cancelled")
    func boundedDrain() async throws {
        let service = try ScriptedService()
        try await TestGateway.with(service, limits: .init(drainTime: .milliseconds(50))) { gateway in
            async let reply = gateway.complete(#"{"model": "scripted", "prompt": "x"}"#)
            _ = await service.submissions.first()
            await gateway.drain()
            let status = try await reply.status
            #expect(status == 503)
            // Where nothing runs there is nothing to wait for.
            await gateway.drain()
        }
    }

    @Test("A graceful end waits for the running answer")
    func gracefulEnd() async throws {
        let service = try ScriptedService()
        try await TestGateway.with(service) { gateway in
            async let reply = gateway.complete(#"{"model": "scripted", "prompt": "x"}"#)
            let hand = try #require(await service.submissions.first())
            await gateway.shutDown()
            hand.say("late")
            hand.finish()
            #expect(try await reply.json["choices"]?[0]?["text"] == .string("late"))
            try await gateway.ended()
        }
    }

    @Test("A graceful end cancels what takes too long")
    func boundedEnd() async throws {
        let service = try ScriptedService()
        try await TestGateway.with(service, limits: .init(drainTime: .milliseconds(50))) { gateway in
            async let reply = gateway.complete(#"{"model": "scripted", "prompt": "x"}"#)
            _ = await service.submissions.first()
            await gateway.shutDown()
            #expect(try await reply.status == 503)
            try await gateway.ended()
        }
    }

    @Test("Each request leaves one line in the log")
    func log() async throws {
        let lines = InMemoryLogHandler()
        let logger = Logger(label: "test") { _ in lines }
        let service = try ScriptedService { submission in
            submission.prompt(kept: [0..<1])
            submission.say("x")
            submission.finish()
        }
        try await TestGateway.with(service, logger: logger) { gateway in
            let reply = try await gateway.complete(#"{"model": "scripted", "prompt": "x y z"}"#)
            _ = try await gateway.complete("no JSON")
            let entries = lines.entries.filter { $0.message == "request" }
            #expect(entries.count == 2)
            let answered = try #require(entries.first?.metadata)
            #expect(try answered["id"]?.description == reply.json["id"]?.string)
            #expect(answered["status"]?.description == "200")
            #expect(answered["kept_tokens"]?.description == "1")
            #expect(answered["tokens"]?.description == "1")
            #expect(Double(answered["ttft_ms"]?.description ?? "") != nil)
            #expect(entries.last?.metadata["status"]?.description == "400")
        }
    }
}
