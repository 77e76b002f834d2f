// A safetensors file taken apart, to be put together wrongly.

import Foundation

/// What the header says of one tensor.
struct TensorHeader: Codable {
    var dtype: String
    var shape: [Int]
    var dataOffsets: [Int]

    enum CodingKeys: String, CodingKey {
        case dtype, shape
        case dataOffsets = "data_offsets"
    }
}

/// Header and data.
struct Weights {
    var header: [String: TensorHeader]
    var data: Data

    init(_ file: Data) throws {
        let length = file.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
        var header: [String: TensorHeader?] = [:]
        for (name, entry) in try JSONDecoder().decode([String: Entry].self, from: file[8..<8 + length]) {
            header[name] = entry.tensor
        }
        self.header = header.compactMapValues { $0 }
        data = file[(8 + length)...]
    }

    func encoded() throws -> Data {
        let header = try JSONEncoder().encode(header)
        return Data((0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) }) + header + data
    }

    /// `__metadata__` is no tensor.
    private struct Entry: Decodable {
        var tensor: TensorHeader?
        init(from decoder: any Decoder) throws { tensor = try? TensorHeader(from: decoder) }
    }
}
