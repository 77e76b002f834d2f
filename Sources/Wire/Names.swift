// Who speaks, and in which life of what.

/// What a peer is known by on a listening socket: on a plain link a random name of the process's life.
package struct PeerID: Hashable, Sendable, CustomStringConvertible {
    /// 1 to 255 bytes, the first of them not zero.
    package let bytes: [UInt8]

    /// `nil`: no name a socket can have.
    package init?(_ bytes: some Collection<UInt8>) {
        guard (1...255).contains(bytes.count), bytes.first != 0 else { return nil }
        self.bytes = Array(bytes)
    }

    /// A name that nobody else has, and nobody can guess.
    package static func random(using generator: inout some RandomNumberGenerator) -> PeerID {
        PeerID(
            unchecked: [UInt8.random(in: 1...255, using: &generator)]
                + (0..<15).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }

    package static func random() -> PeerID {
        var generator = SystemRandomNumberGenerator()
        return random(using: &generator)
    }

    private init(unchecked bytes: [UInt8]) { self.bytes = bytes }

    /// All its bytes in hexadecimal.
    package var text: String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }

    /// Its first bytes in hexadecimal: enough to tell peers apart in logs.
    package var description: String {
        bytes.prefix(4).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

/// 64 random bits, new each time a process starts.
package typealias Incarnation = UInt64

/// One life of a pipeline, or of a speculator's place in it. Compared for equality only.
package struct Epoch: Hashable, Sendable, CustomStringConvertible {
    /// Of the coordinator that made it.
    package var incarnation: Incarnation
    package var counter: UInt64

    package init(incarnation: Incarnation, counter: UInt64) {
        self.incarnation = incarnation
        self.counter = counter
    }

    /// Of messages that belong to none.
    package static let none = Epoch(incarnation: 0, counter: 0)

    package var description: String { "\(String(incarnation, radix: 16)).\(counter)" }
}

/// What a worker is for.
public enum WorkerRole: String, Sendable, CaseIterable {
    /// Holds layers of the main model, as a stage of a pipeline.
    case stage
    /// Holds the speculator, and scores prompts.
    case speculator
}

/// How hidden rows travel between stages.
public enum WireType: String, Sendable, CaseIterable {
    /// Four bytes a value: what was computed.
    case f32
    /// Two bytes a value, rounded to eight bits of mantissa.
    case bf16

    package var bytes: Int { self == .f32 ? 4 : 2 }
}
