// Which endpoint a method and a path mean.

import Foundation
import Hummingbird
import NIOHTTP1

/// An endpoint of the gateway.
enum Route: Equatable, Sendable {
    case answer(Endpoint)
    case tokenize
    case models
    case model(id: String)
    case live
    case ready
    case metrics
    /// A file of the status page.
    case page(PageFile)
    /// The status, once or as a stream.
    case status(isStream: Bool)

    /// Whether it is OpenAI's API, or tells what a text is to the model: what API keys are for.
    var isAPI: Bool {
        switch self {
        case .answer, .tokenize, .models, .model: true
        case .live, .ready, .metrics, .page, .status: false
        }
    }

    /// What a request's first line asks for.
    enum Match: Equatable, Sendable {
        case route(Route)
        /// The path exists, but not with this method.
        case wrongMethod(allowed: String)
        case unknown
    }

    /// What to try instead of an unknown path.
    static let known =
        "POST /v1/completions, /v1/chat/completions, /tokenize; GET /v1/models, /health/live, /health/ready, /metrics, "
        + "/status, / (a page)"

    /// Finds the endpoint; `path` without its query. A model id may contain slashes.
    ///
    /// Clients differ in whether the `/v1` belongs to the address they are given: OpenAI's endpoints are served without
    /// it as well, and slashes too many are passed over.
    static func match(method: HTTPRequest.Method, path: String) -> Match {
        guard let (route, isPost) = find(path) else { return .unknown }
        let fits = isPost ? method == .post : method == .get || method == .head
        return fits ? .route(route) : .wrongMethod(allowed: isPost ? "POST" : "GET, HEAD")
    }

    /// The endpoint that would answer with a model's words; `nil` for every other request.
    static func endpoint(method: HTTPRequest.Method, path: String) -> Endpoint? {
        if case .route(.answer(let endpoint)) = match(method: method, path: path) { endpoint } else { nil }
    }

    /// Whether a head asks for what an orchestrator must always get: health, metrics or the status.
    static func isProbe(_ method: HTTPMethod, _ target: String) -> Bool {
        guard method == .GET || method == .HEAD else { return false }
        switch find(String(target.prefix { $0 != "?" }))?.route {
        case .live, .ready, .metrics, .status(isStream: false): return true
        default: return false
        }
    }

    /// The endpoint of a path, and whether it is asked by POST.
    static func find(_ path: String) -> (route: Route, isPost: Bool)? {
        var words = path.split(separator: "/", omittingEmptySubsequences: true)
        switch words {
        case ["tokenize"]: return (.tokenize, true)
        case ["health", "live"]: return (.live, false)
        case ["health"], ["health", "ready"]: return (.ready, false)
        case ["metrics"]: return (.metrics, false)
        case []: return (.page(.page), false)
        case ["status"]: return (.status(isStream: false), false)
        case ["status", "stream"]: return (.status(isStream: true), false)
        case _ where words.count == 2 && words[0] == "status":
            return PageFile(rawValue: String(words[1])).map { (.page($0), false) }
        default: break
        }
        if words.first == "v1" { words.removeFirst() }
        switch words {
        case ["completions"]: return (.answer(.completions), true)
        case ["chat", "completions"]: return (.answer(.chat), true)
        case ["models"]: return (.models, false)
        case _ where words.first == "models":
            let id = words.dropFirst().joined(separator: "/")
            return (.model(id: id.removingPercentEncoding ?? id), false)
        default: return nil
        }
    }
}
