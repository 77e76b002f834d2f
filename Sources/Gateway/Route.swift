// Which endpoint a method and a path mean.

import Foundation
import Hummingbird

/// An endpoint of the gateway.
enum Route: Equatable, Sendable {
    case answer(Endpoint)
    case tokenize
    case models
    case model(id: String)
    case live
    case ready
    case metrics

    /// What a request's first line asks for.
    enum Match: Equatable, Sendable {
        case route(Route)
        /// The path exists, but not with this method.
        case wrongMethod(allowed: String)
        case unknown
    }

    /// Finds the endpoint; `path` without its query. A model id may contain slashes.
    static func match(method: HTTPRequest.Method, path: String) -> Match {
        guard let (route, isPost) = find(path) else { return .unknown }
        let fits = isPost ? method == .post : method == .get || method == .head
        return fits ? .route(route) : .wrongMethod(allowed: isPost ? "POST" : "GET, HEAD")
    }

    private static func find(_ path: String) -> (route: Route, isPost: Bool)? {
        let models = "/v1/models"
        switch path {
        case "/v1/completions": return (.answer(.completions), true)
        case "/v1/chat/completions": return (.answer(.chat), true)
        case "/tokenize": return (.tokenize, true)
        case models: return (.models, false)
        case "/health/live": return (.live, false)
        case "/health/ready": return (.ready, false)
        case "/metrics": return (.metrics, false)
        case _ where path.hasPrefix(models + "/") && path.count > models.count + 1:
            let id = String(path.dropFirst(models.count + 1))
            return (.model(id: id.removingPercentEncoding ?? id), false)
        default: return nil
        }
    }
}
