/// The first frame of every message: 32 bytes, little-endian, read and checked before anything behind it is looked at.
///
///     0  UInt32  version of the protocol
///     4  UInt32  kind of the body
///     8  UInt64  incarnation of the epoch, 0 on control edges
///     16 UInt64  counter of the epoch
///     24 UInt64  sequence number on the edge, 0: not counted
struct Header: Equatable {
    enum Kind: UInt32 {
        case report = 1
        case desired = 2
        case probe = 10
        case microBatch = 11
        case outcome = 12
        case release = 13
        case score = 14
        case scored = 15
    }
    static let size = 32

    var kind: Kind
    var epoch: Epoch
    var sequence: UInt64

    init(kind: Kind, epoch: Epoch, sequence: UInt64) {
        self.kind = kind
        self.epoch = epoch
        self.sequence = sequence
    }

    init(_ bytes: UnsafeRawBufferPointer) throws(MessageError) {
        guard bytes.count >= 8 else {
            throw MessageError("header", "expected \(Self.size) bytes, found \(bytes.count)")
        }
        let version = UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self))
        guard version == Protocol.version else {
            throw MessageError(
                "header.version",
                "expected \(Protocol.version), found \(version); run the same Winnow release on every host")
        }
        guard bytes.count == Self.size else {
            throw MessageError("header", "expected \(Self.size) bytes, found \(bytes.count)")
        }
        let code = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        guard let kind = Kind(rawValue: code) else { throw MessageError("header.kind", "\(code) is unknown") }
        self.kind = kind
        func word(_ offset: Int) -> UInt64 {
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        epoch = Epoch(incarnation: word(8), counter: word(16))
        sequence = word(24)
    }

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.size)
        func append(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
        append(Protocol.version)
        append(kind.rawValue)
        append(epoch.incarnation)
        append(epoch.counter)
        append(sequence)
        return bytes
    }
}
