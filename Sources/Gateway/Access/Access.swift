// The shell around keys and policy: says of a request whether it is answered, and for whom.

import Foundation
import HTTPTypes
import NIOCore
import Synchronization

/// Who asks. Its last reference ends the request for the key's limits.
final class Caller: Sendable {
    let entry: APIKeyList.Entry
    private let access: Access

    fileprivate init(_ entry: APIKeyList.Entry, _ access: Access) {
        self.entry = entry
        self.access = access
    }

    deinit { access.use.withLock { $0.end(entry.id) } }

    /// Counts what its request has cost.
    func spend(_ tokens: Int) { access.use.withLock { $0.spend(tokens, of: entry.id, .now) } }
}

/// Decides who is answered, for all addresses of a gateway.
package final class Access: Sendable {
    let keys: APIKeyFile?
    let refusals: Refusals
    fileprivate let use = Mutex(KeyUse())
    private let handshakes: Mutex<HandshakeRation>

    package init(keys: APIKeyFile? = nil, limits: GatewayLimits = .init(), refusals: Refusals) {
        self.keys = keys
        self.refusals = refusals
        handshakes = Mutex(
            HandshakeRation(
                pace: limits.handshakesPerSecond,
                size: limits.connectionsPerAddress + limits.reservedConnections + limits.handshakesPerSecond))
    }

    /// Whether an address may begin a TLS handshake.
    func admitsHandshake(from address: String) -> Bool { handshakes.withLock { $0.admit(address, .now) } }

    /// Why a request is refused.
    struct Refusal: Error {
        var error: APIError
        /// What it counts as; nil: it does not.
        var reason: Refusals.Reason?
    }

    /// Whether a request may be heard, and whose key it shows; limits are not looked at.
    ///
    /// - Throws: why not.
    func entry(
        method: HTTPRequest.Method?, path: String, authorization: String?, at surface: AccessPolicy.Surface
    ) throws(Refusal) -> APIKeyList.Entry? {
        let policy = AccessPolicy(surface: surface, hasKeys: keys != nil)
        switch policy.need(method: method, path: path) {
        case .nothing: return nil
        case .elsewhere: throw Refusal(error: .elsewhere(path))
        case .key(let isOperator):
            guard let keys else { return nil }
            func unauthorized(_ reason: Refusals.Reason, _ message: String) -> Refusal {
                Refusal(error: .unauthorized(message, takesBasic: isOperator), reason: reason)
            }
            guard let authorization else {
                throw unauthorized(.noKey, "No API key was given: send 'Authorization: Bearer KEY'.")
            }
            guard let key = Credentials.key(authorization, takesBasic: isOperator),
                let entry = keys.list.entry(of: key)
            else { throw unauthorized(.wrongKey, "The API key given is not known here, or was revoked.") }
            if let expiry = entry.limits.expiry, Date().timeIntervalSince1970 >= Double(expiry) {
                throw unauthorized(.expiredKey, "The API key given has expired.")
            }
            guard entry.limits.isOperator || !isOperator else {
                throw Refusal(error: .noOperator, reason: .forbidden)
            }
            return entry
        }
    }

    /// Counts a request against its key's limits.
    ///
    /// - Throws: which of them it would break.
    func begin(_ entry: APIKeyList.Entry) throws(Refusal) -> Caller {
        if let refusal = use.withLock({ $0.begin(entry, .now) }) {
            throw Refusal(error: APIError(refusal), reason: .rateLimit)
        }
        return Caller(entry, self)
    }

    /// Whether the request shows a key that opens everything, or none is needed.
    func isOperator(authorization: String?) -> Bool {
        guard let keys else { return true }
        guard let key = Credentials.key(authorization, takesBasic: true) else { return false }
        return keys.list.entry(of: key)?.limits.isOperator == true
    }

    /// What keys have used, by name; those that are no more are forgotten.
    var totals: [KeyUse.Total] {
        guard let keys else { return [] }
        let known = Set(keys.list.entries.map(\.id))
        return use.withLock { use in
            use.keep(known)
            return use.totals
        }
    }
}
