// A question of libzmq's about a connecting peer, and its answer (ZAP, https://rfc.zeromq.org/spec/27/).

/// One question, and the way back to who asked.
package struct ZAPRequest: Sendable {
    /// The frames that lead the answer back.
    private let route: [[UInt8]]
    private let id: [UInt8]
    /// The policy of the socket that is connected to.
    package let domain: String
    /// The peer's.
    package let address: String
    /// `nil`: the peer shows nothing that is known here.
    package let credential: GuestList.Credential?

    /// Most frames of a question.
    package static let maxFrames = 10

    /// Route, empty, version, request id, domain, address, our own name, mechanism; with PLAIN the peer's name and password,
    /// with CURVE its key. `nil`: it can't be answered.
    package init?(_ frames: [[UInt8]]) {
        guard frames.count >= 8 else { return nil }
        if frames[7] == Array("PLAIN".utf8), frames.count == 10 {
            credential = .name(String(decoding: frames[8], as: UTF8.self))
        } else if frames[7] == Array("CURVE".utf8), frames.count == 9 {
            credential = PublicKey(frames[8]).map { .key($0) }
        } else {
            credential = nil
        }
        route = Array(frames[0..<2])
        id = frames[3]
        domain = String(decoding: frames[4], as: UTF8.self)
        address = String(decoding: frames[5], as: UTF8.self)
    }

    /// - Parameter user: by which libzmq calls the peer from now on; `nil` lets it not in. 300 is a refusal for now: the peer
    ///   tries again.
    package func answer(_ user: String?) -> [[UInt8]] {
        route + [
            Array("1.0".utf8), id, Array((user == nil ? "300" : "200").utf8),
            Array((user == nil ? "not expected" : "OK").utf8), Array((user ?? "").utf8), [],
        ]
    }
}
