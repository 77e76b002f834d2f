// The client against a real server that answers well, badly, late and not at all.

import LoadGenerator
import NIOHTTP1
import Testing

@Suite("client")
struct OpenAIClientTests {
    static let prompt = Prompt(.text("question"), maxTokens: 3, expected: "c")

    /// One request to a server that plays the script.
    private func ask(
        timeout: Duration = .seconds(20), prompt: Prompt = prompt, _ script: @escaping TestServer.Script
    ) async throws -> (response: Response, start: ContinuousClock.Instant, seen: SeenRequest?) {
        try await TestServer.run(script) { server in
            let request = try RequestTemplate(model: "toy").request(for: prompt, variant: .dense)
            return try await OpenAIClient.withClient(
                address: server.address + "/v1/", apiKey: "secret", connectionLimit: 10
            ) { client in
                let start = ContinuousClock.now
                let response = await client.send(request, timeout: timeout) { _ in }
                return (response, start, server.seen.first)
            }
        }
    }

    private func kind(_ outcome: Outcome) -> FailureKind? {
        if case .failed(let kind, _) = outcome { kind } else { nil }
    }

    @Test("a whole answer has its times, tokens and text; the request carries key and body")
    func completes() async throws {
        let (response, start, seen) = try await ask { _, _ in
            [
                Answer.streamHead, .wait(.milliseconds(80)), .text(Answer.chunk("a")), .wait(.milliseconds(60)),
                .text(Answer.chunk("b") + Answer.chunk(" c")), .text(Answer.finish + Answer.usage), .text(Answer.done),
                .end,
            ]
        }
        #expect(response.outcome == .completed)
        #expect(response.text == "ab c")
        #expect(response.tokens == 3)
        let firstToken = try #require(response.firstToken)
        #expect(firstToken - start >= .milliseconds(80))
        #expect(response.end > firstToken && response.end - start >= .milliseconds(140))
        #expect(seen?.uri == "/v1/completions")
        #expect(seen?.headers.first(name: "Authorization") == "Bearer secret")
        #expect(seen?.body.contains(#""prompt":"question""#) == true)
    }

    @Test("a chat goes to its own endpoint")
    func chat() async throws {
        let message = JSONValue.object(["role": .string("user"), "content": .string("hi")])
        let (response, _, seen) = try await ask(prompt: Prompt(.messages([message]))) { _, _ in Answer.whole() }
        #expect(response.outcome == .completed)
        #expect(seen?.uri == "/v1/chat/completions")
    }

    @Test("refusals and errors keep the status and the server's message", arguments: [429, 503, 500, 400, 307])
    func statuses(status: Int) async throws {
        let response = try await ask { _, _ in Answer.json(status, #"{"error":{"message":"too busy"}}"#) }.response
        #expect(kind(response.outcome) == ([429, 503].contains(status) ? .refused : .httpError))
        if case .failed(_, let detail) = response.outcome { #expect(detail == "status \(status): too busy") }
    }

    @Test("a server that does not answer, or not on, is left at the timeout", arguments: [false, true])
    func timeouts(afterToken: Bool) async throws {
        let (response, start, _) = try await ask(timeout: .milliseconds(150)) { _, _ in
            afterToken
                ? [Answer.streamHead, .text(Answer.chunk("a")), .wait(.seconds(600)), .end]
                : [.wait(.seconds(600)), Answer.streamHead, .end]
        }
        #expect(kind(response.outcome) == .timeout)
        #expect(response.end - start >= .milliseconds(150))
        #expect((response.firstToken != nil) == afterToken)
    }

    @Test("a whole answer stays one although the server holds the connection")
    func heldOpen() async throws {
        let response = try await ask(timeout: .seconds(1)) { _, _ in
            Answer.whole().dropLast() + [.wait(.seconds(600)), .end]
        }.response
        #expect(response.outcome == .completed)
    }

    @Test("a connection cut in the stream, a clean early end, and no stream at all are broken streams")
    func brokenStreams() async throws {
        let scripts: [[Step]] = [
            [Answer.streamHead, .text(Answer.chunk("a")), .wait(.milliseconds(10)), .close],
            [Answer.streamHead, .text(Answer.chunk("a")), .end],
            [Answer.streamHead, .text("data: {\"choices\""), .end],
            Answer.json(200, #"{"choices":[{"text":"not a stream"}]}"#),
        ]
        for script in scripts {
            let response = try await ask { _, _ in script }.response
            #expect(kind(response.outcome) == .brokenStream)
        }
    }

    @Test("bad JSON and error events are told apart")
    func badEvents() async throws {
        let bad = try await ask { _, _ in [Answer.streamHead, .text("data: {oops}\n\n"), .wait(.seconds(600)), .end] }
        #expect(kind(bad.response.outcome) == .badJSON)
        let lost = #"data: {"error":{"message":"worker lost","code":"worker_lost"}}"# + "\n\n"
        let error = try await ask { _, _ in [Answer.streamHead, .text(Answer.chunk("a") + lost + Answer.done), .end] }
        #expect(error.response.outcome == .failed(.serverError, detail: "worker lost"))
    }

    @Test("a connection cut before the answer, and no server at all, are connection failures")
    func noConnection() async throws {
        let cut = try await ask { _, _ in [.close] }.response
        #expect(kind(cut.outcome) == .connection)
        let address = try await TestServer.run(Answer.nothing) { $0.address }
        try await OpenAIClient.withClient(address: address, connectionLimit: 10) { client in
            let request = try RequestTemplate(model: "toy").request(for: Self.prompt, variant: .asIs)
            let response = await client.send(request, timeout: .seconds(20)) { _ in }
            #expect(
                response.outcome
                    == .failed(.connection, detail: "connection refused: is the server running there?"))
            let error = await #expect(throws: LoadGeneratorError.self) { _ = try await client.firstModel() }
            #expect(error?.kind == .unreachable)
        }
    }

    @Test("the first model is found, and its absence told")
    func models() async throws {
        try await TestServer.run(Answer.nothing) { server in
            try await OpenAIClient.withClient(address: server.address, connectionLimit: 2) { client in
                let model = try await client.firstModel()
                #expect(model == "toy")
            }
            try await OpenAIClient.withClient(address: server.address + "/other", connectionLimit: 2) { client in
                _ = await #expect(throws: LoadGeneratorError.self) {
                    _ = try await client.firstModel(timeout: .milliseconds(100))
                }
            }
        }
    }

    @Test("a server that counts no more than its context holds is asked for no more")
    func shortContext() async throws {
        // Two bytes a token; what cannot fit the context is refused by its size alone.
        let script: TestServer.Script = { request, _ in
            let prompt = (try? JSONValue.object(parsing: request.body, place: "body"))?["prompt"]
            guard request.uri == "/tokenize", case .string(let text)? = prompt, text.utf8.count <= 1024 else {
                return Answer.json(400, #"{"error":{"message":"too long"}}"#)
            }
            return Answer.json(200, #"{"count":\#(text.utf8.count / 2),"max_model_len":512}"#)
        }
        try await TestServer.run(script) { server in
            try await OpenAIClient.withClient(address: server.address, connectionLimit: 2) { client in
                let counter = try #require(await client.tokenCounter(model: "toy"))
                #expect(counter.contextTokens == 512)
                let gauge = try await TokenGauge.calibrated(by: counter)
                #expect(abs(gauge.charactersPerToken - 2) < 0.1 && gauge.isMeasured)
            }
        }
    }

    @Test(
        "addresses that are none are refused", arguments: ["", "localhost:8080", "ftp://host", "http://", "http:///v1"])
    func badAddresses(address: String) async {
        await #expect(throws: LoadGeneratorError.self) {
            _ = try await OpenAIClient.withClient(address: address, connectionLimit: 1) { $0.address }
        }
    }
}
