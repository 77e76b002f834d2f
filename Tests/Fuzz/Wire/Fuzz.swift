// Any bytes as what a peer sends: a message's frames, libzmq's question about who connects, and the files of keys.
//
// The first byte says what the others are: "p" frames of a message, "z" frames of a question, "k" a key's file, "a" an
// allow-list, "e" an endpoint. A frame is its length in two bytes, little-endian, and as many bytes; the last takes what
// there is. A length of 0xFFFF is a whole piece of a long frame, whose bytes are repeated.

import Glibc
import Wire

/// The only kind that is fed; nil: all.
private let only = getenv("WINNOW_FUZZ_ONLY").map { String(cString: $0) }
private let kinds: [UInt8: String] = [
    UInt8(ascii: "p"): "frames", UInt8(ascii: "z"): "zap", UInt8(ascii: "e"): "endpoint", UInt8(ascii: "k"): "key",
    UInt8(ascii: "a"): "list",
]

private func frames(_ input: UnsafeRawBufferPointer) -> [[UInt8]] {
    var frames: [[UInt8]] = []
    var rest = input[...]
    while rest.count >= 2, frames.count < 64 {
        let length = Int(rest[rest.startIndex]) | Int(rest[rest.startIndex + 1]) << 8
        rest = rest.dropFirst(2)
        let bytes = Array(rest.prefix(length == 0xFFFF ? 64 : length))
        rest = rest.dropFirst(bytes.count)
        guard length == 0xFFFF, let first = bytes.first else {
            frames.append(bytes)
            continue
        }
        frames.append([UInt8](repeating: first, count: Pieces.size))
    }
    return frames
}

private func bytes(_ frames: [Frame]) -> [[UInt8]] { frames.map { frame in frame.withBytes { Array($0) } } }

/// What is read is written and read again as the same; where it holds numbers that are none, as the same bytes.
private func packet(_ parts: [[UInt8]]) throws {
    let limit = 1 << 20
    let frames = try Pieces.join(parts.map { try Frame($0) }, limit: limit)
    precondition(frames.allSatisfy { $0.count <= limit }, "a frame over its limit")
    guard let packet = try Codec.packet(frames, maxBody: 1 << 16) else {
        preconditionFailure("an epoch that is wanted")
    }
    let again = try Pieces.split(Codec.frames(packet))
    precondition(again.allSatisfy { $0.count <= Pieces.size }, "a piece over its size")
    guard let second = try Codec.packet(try Pieces.join(again, limit: 1 << 24), maxBody: 1 << 24) else {
        preconditionFailure("an epoch that is wanted")
    }
    precondition(second.epoch == packet.epoch && second.sequence == packet.sequence, "another place")
    precondition(bytes(second.tensors) == bytes(packet.tensors), "other tensors")
    let (once, twice) = (bytes(try Codec.frames(packet)), bytes(try Codec.frames(second)))
    precondition(once == twice, "another message")
}

private func question(_ parts: [[UInt8]]) {
    guard let request = ZAPRequest(Array(parts.prefix(ZAPRequest.maxFrames + 1))) else { return }
    for user in [nil, "user"] {
        let answer = request.answer(user)
        precondition(answer.count == 8 && answer[0] == parts[0] && answer[3] == parts[3], "an answer to somebody else")
        precondition(answer[4] == Array((user == nil ? "300" : "200").utf8), "another answer")
    }
}

private func keys(_ text: String, _ kind: UInt8) throws {
    if kind == UInt8(ascii: "k") {
        let file = try KeyFile(text, path: "key")
        precondition(AllowList.isName(file.name), "a name that is none")
        precondition(!"\(file.pair)".contains("secret"), "a secret that is shown")
    } else {
        let list = try AllowList(text, path: "list")
        precondition(list.entries.count <= AllowList.limit, "too many keys")
        for entry in list.entries { precondition(list[entry.key] == entry, "a key that is not found") }
    }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzWire(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let start, count > 0 else { return 0 }
    if let only, kinds[start.pointee] != only { return -1 }
    let input = UnsafeRawBufferPointer(start: start + 1, count: count - 1)
    do {
        switch start.pointee {
        case UInt8(ascii: "p"): try packet(frames(input))
        case UInt8(ascii: "z"): question(frames(input))
        case UInt8(ascii: "e"):
            let endpoint = try Endpoint(String(decoding: input, as: UTF8.self))
            let again = try Endpoint(endpoint.description)
            precondition(again == endpoint, "an endpoint that is not what it says")
        case let kind: try keys(String(decoding: input, as: UTF8.self), kind)
        }
    } catch {
        precondition(!"\(error)".isEmpty && "\(error)".utf8.count < 10_000, "too many words, or none")
    }
    return 0
}
