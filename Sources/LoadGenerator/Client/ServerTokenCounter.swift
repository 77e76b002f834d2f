// Counts tokens by the server's own tokenizer.

import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1

/// Counts tokens by asking the server.
struct ServerTokenCounter: TokenCounter {
    /// The endpoints servers have for it.
    enum Dialect: CaseIterable {
        /// `POST /tokenize` of vLLM, and of winnow.
        case tokenize
        /// `POST /extras/tokenize/count` of llama-cpp-python.
        case extras
    }

    let client: OpenAIClient
    let model: String
    let dialect: Dialect
    /// What the server said of its context.
    var contextTokens: Int?

    /// What is answered; a server may say how long its model's context is.
    struct Answer: Decodable {
        var count: Int
        var contextTokens: Int?

        private enum CodingKeys: String, CodingKey {
            case count
            case contextTokens = "max_model_len"
        }
    }

    func count(_ text: String) async throws(LoadGeneratorError) -> Int { try await ask(text).count }

    /// Counts, and says what else the server says.
    func ask(_ text: String) async throws(LoadGeneratorError) -> Answer {
        let (path, fields): (String, [String: JSONValue]) =
            switch dialect {
            case .tokenize: ("/tokenize", ["model": .string(model), "prompt": .string(text)])
            case .extras: ("/extras/tokenize/count", ["model": .string(model), "input": .string(text)])
            }
        var request = client.head(of: client.address + path, method: .POST)
        request.headers.add(name: "Content-Type", value: "application/json")
        let status: UInt
        let body: ByteBuffer
        do {
            request.body = .bytes(ByteBuffer(bytes: try JSONEncoder().encode(JSONValue.object(fields))))
            (status, body) = try await client.exchange(request)
        } catch {
            throw LoadGeneratorError(.unreachable, client.address + path, ConnectionProblem.text(of: error))
        }
        guard status == 200, let answer = try? JSONDecoder().decode(Answer.self, from: Data(body.readableBytesView)),
            answer.count >= 0
        else {
            throw LoadGeneratorError(.unreachable, client.address + path, "answers with no count (status \(status))")
        }
        return answer
    }
}
