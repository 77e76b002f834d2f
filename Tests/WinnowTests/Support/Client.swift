// HTTP as a client sees it: whole answers and streams.

import Foundation
import Synchronization

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// Talks to one server.
struct Client: Sendable {
    var base: String
    /// The model that requests name.
    var model: String
    /// What it shows; nil: nothing.
    var key: String?

    /// An answer with its status, whatever it is.
    struct Reply: Sendable {
        var status: Int
        var body: Data

        func decoded<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            do {
                return try decoder.decode(type, from: body)
            } catch {
                throw Refused(status: status, problem: nil, body: String(decoding: body, as: UTF8.self))
            }
        }
    }

    func get(_ path: String) async throws -> Reply { try await Exchange(request(path)).reply() }

    func post(_ body: Data, to path: String = "/v1/completions") async throws -> Reply {
        try await start(body, to: path).reply()
    }

    /// Completes, or throws `Refused`.
    func complete(_ ask: Ask) async throws -> Completion {
        let reply = try await post(encoded(ask))
        let completion: Completion = try reply.decoded()
        guard reply.status == 200, completion.error == nil else {
            throw Refused(
                status: reply.status, problem: completion.error, body: String(decoding: reply.body, as: UTF8.self))
        }
        return completion
    }

    /// Starts a stream; its first event has come when this returns, or `Refused` is thrown.
    func stream(_ ask: Ask) async throws -> EventStream {
        var ask = ask
        ask.stream = true
        let exchange = try start(encoded(ask), to: "/v1/completions")
        let status = try await exchange.status()
        guard status == 200 else {
            let reply = try await exchange.reply()
            throw Refused(
                status: status, problem: try reply.decoded(Completion.self).error,
                body: String(decoding: reply.body, as: UTF8.self))
        }
        let stream = EventStream(exchange: exchange)
        stream.first = try await stream.next()
        return stream
    }

    private func encoded(_ ask: Ask) throws -> Data {
        var ask = ask
        if ask.model == nil { ask.model = model }
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        return try encoder.encode(ask)
    }

    private func start(_ body: Data, to path: String) throws -> Exchange {
        var request = try request(path)
        request.httpMethod = "POST"
        request.httpBody = body
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        return Exchange(request)
    }

    private func request(_ path: String) throws -> URLRequest {
        guard let url = URL(string: base + path) else { throw URLError(.badURL) }
        var request = URLRequest(url: url, timeoutInterval: 120)
        if let key { request.setValue("Bearer \(key)", forHTTPHeaderField: "Authorization") }
        return request
    }
}

/// A request that was not answered with what was asked for.
struct Refused: Error, CustomStringConvertible {
    var status: Int
    var problem: Completion.Problem?
    var body: String
    var description: String { "status \(status): \(body)" }
}

/// A streamed answer. One task reads it.
final class EventStream: @unchecked Sendable {
    private let exchange: Exchange
    /// The event that has come already; set before the stream is handed out.
    fileprivate(set) var first: Completion?

    fileprivate init(exchange: Exchange) { self.exchange = exchange }

    /// The next event; `nil` after `[DONE]`. An error that the server tells is an event too.
    func next() async throws -> Completion? {
        let line = try await exchange.lines.next("a stream event") { $0.hasPrefix("data: ") }
        let data = line.dropFirst("data: ".count)
        if data == "[DONE]" { return nil }
        return try Client.Reply(status: 200, body: Data(data.utf8)).decoded()
    }

    /// Reads to the end: the whole text, and the error that ended it, if one did.
    func rest() async throws -> (text: String, finish: String?, problem: Completion.Problem?) {
        var (text, finish) = ("", String?.none)
        var event = first
        while let current = event {
            if let problem = current.error { return (text, finish, problem) }
            for choice in current.choices ?? [] {
                text += choice.text ?? ""
                finish = choice.finishReason ?? finish
            }
            event = try await next()
        }
        return (text, finish, nil)
    }

    /// Closes the connection.
    func leave() { exchange.cancel() }
}

/// One request on a connection of its own.
private final class Exchange: NSObject, URLSessionDataDelegate, Sendable {
    let lines = LineLog()
    private let body = Mutex(Data())
    private let head = Promise<Int>()
    private let end = Promise<Result<Void, any Error>>()
    private let task = Mutex<URLSessionDataTask?>(nil)

    init(_ request: URLRequest) {
        super.init()
        let session = URLSession(configuration: .ephemeral, delegate: self, delegateQueue: nil)
        let task = session.dataTask(with: request)
        self.task.withLock { $0 = task }
        task.resume()
        session.finishTasksAndInvalidate()
    }

    func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
        if let response = dataTask.response as? HTTPURLResponse { head.fulfil(response.statusCode) }
        body.withLock { $0.append(data) }
        lines.append(data)
    }

    func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
        if let response = task.response as? HTTPURLResponse { head.fulfil(response.statusCode) }
        end.fulfil(error.map { .failure($0) } ?? .success(()))
        head.fulfil(0)
        lines.close()
    }

    /// The status, known once the body begins. Throws when no answer comes.
    func status() async throws -> Int {
        let status = try await head.value()
        if status == 0 { try await end.value().get() }
        return status
    }

    /// The whole answer.
    func reply() async throws -> Client.Reply {
        try await end.value().get()
        return Client.Reply(status: try await head.value(), body: body.withLock { $0 })
    }

    func cancel() { task.withLock { $0?.cancel() } }
}
