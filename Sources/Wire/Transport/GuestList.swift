// Whom a socket lets in.

import Synchronization

/// Who may connect to a socket. Asked by libzmq in the handshake (ZAP, https://rfc.zeromq.org/spec/27/), before a peer can
/// make this process hold a byte of a message.
///
/// Without keys the name that a peer gives is all there is to know of it; it is random, and only the coordinator and the
/// two ends of a link are told it. It travels by ZMTP's PLAIN mechanism: with NULL the question names no peer at all.
/// With keys (CURVE) libzmq has made sure before it asks that the peer has the secret of the key it shows.
package final class GuestList: Sendable {
    enum Rule: Sendable {
        /// Data edges in plain text, by what peers say.
        case names([String: PeerID])
        /// Data edges: each key with the peers it is of; workers of a pattern of names may share one.
        case keys([PublicKey: Set<PeerID>])
        /// Control edges: any key that may join, whatever it calls itself.
        case list(@Sendable (PublicKey) -> Bool)
    }

    /// What a connecting peer shows.
    package enum Credential: Hashable, Sendable {
        case name(String)
        case key(PublicKey)
    }

    private struct State {
        var rule: Rule
        var refusals = Refusals()
    }

    /// What libzmq calls the socket's policy.
    let domain: String
    private let state: Mutex<State>
    private let onChange: @Sendable () -> Void

    init(domain: String, rule: Rule, onChange: @escaping @Sendable () -> Void) {
        self.domain = domain
        state = Mutex(State(rule: rule))
        self.onChange = onChange
    }

    func allow(_ guests: Set<Guest>) {
        state.withLock { state in
            switch state.rule {
            case .names:
                state.rule = .names(Dictionary(guests.map { ($0.peer.text, $0.peer) }) { first, _ in first })
            case .keys:
                var keys: [PublicKey: Set<PeerID>] = [:]
                for guest in guests { if let key = guest.key { keys[key, default: []].insert(guest.peer) } }
                state.rule = .keys(keys)
            case .list: break
            }
        }
        onChange()
    }

    /// Whether a peer is let in: the name that libzmq puts on its messages, or `nil`.
    func user(_ credential: Credential) -> String? {
        state.withLock { state in
            switch (state.rule, credential) {
            case (.names(let names), .name(let name)): names[name] == nil ? nil : name
            case (.keys(let keys), .key(let key)): keys[key] == nil ? nil : key.description
            case (.list(let mayJoin), .key(let key)): mayJoin(key) ? key.description : nil
            case (.names, .key), (.keys, .name), (.list, .name): nil
            }
        }
    }

    /// Whether a message of a connection that was let in as `user` may still come from `peer`.
    func isGuest(_ peer: PeerID, showing user: String) -> Bool {
        state.withLock { state in
            switch state.rule {
            case .names(let names): user == peer.text && names[user] != nil
            case .keys(let keys): PublicKey(user).map { keys[$0]?.contains(peer) == true } ?? false
            case .list(let mayJoin): PublicKey(user).map(mayJoin) ?? false
            }
        }
    }

    /// Whether an answer may come later: a neighbour that is about to become a guest.
    var isPatient: Bool { state.withLock { if case .list = $0.rule { false } else { true } } }

    func refused(_ credential: Credential?, from address: String) {
        let (reason, shown): (Refusals.Reason, String) =
            switch credential {
            case .key(let key): (.unknownKey, "key \(key.description.prefix(12))")
            case .name: (.unknownName, "no name that is expected")
            case nil: (.malformed, "nothing known")
            }
        state.withLock { $0.refusals.add(reason, "\(address), \(shown)") }
    }

    func takeRefusals() -> Refusals {
        state.withLock { state in
            defer { state.refusals = Refusals() }
            return state.refusals
        }
    }
}
