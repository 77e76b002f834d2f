// GGUF files for the tests of this folder, sound and otherwise.

import Checkpoint
import Foundation

/// The bytes of a GGUF file, piece by piece.
struct Bytes {
    var all: [UInt8] = []

    static func + (bytes: Bytes, value: some FixedWidthInteger) -> Bytes {
        Bytes(all: bytes.all + withUnsafeBytes(of: value.littleEndian) { Array($0) })
    }

    static func + (bytes: Bytes, text: String) -> Bytes {
        Bytes(all: (bytes + UInt64(text.utf8.count)).all + Array(text.utf8))
    }

    static func + (bytes: Bytes, other: Bytes) -> Bytes { Bytes(all: bytes.all + other.all) }

    static func header(version: UInt32 = 3, tensors: UInt64 = 0, entries: UInt64) -> Bytes {
        Bytes(all: Array("GGUF".utf8)) + version + tensors + entries
    }

    /// A tensor entry.
    static func tensor(_ name: String, _ sizes: [UInt64], type: UInt32 = 0, offset: UInt64 = 0) -> Bytes {
        let head = Bytes() + name + UInt32(sizes.count)
        return sizes.reduce(head) { $0 + $1 } + type + offset
    }

    /// Padded to a multiple of 32, with `count` bytes of data behind.
    func withData(_ count: Int) -> Bytes {
        Bytes(all: all + [UInt8](repeating: 0, count: (32 - all.count % 32) % 32 + count))
    }
}

/// A GGUF file as values that a test changes before it is written.
struct GGUFModel {
    enum Value {
        case size(Int)
        case number(Double)
        case text(String)
        case flag(Bool)
        case sizes([Int])

        fileprivate var bytes: Bytes {
            switch self {
            case .size(let value): Bytes() + UInt32(4) + UInt32(value)
            case .number(let value): Bytes() + UInt32(6) + Float(value).bitPattern
            case .text(let text): Bytes() + UInt32(8) + text
            case .flag(let flag): Bytes() + UInt32(7) + UInt8(flag ? 1 : 0)
            case .sizes(let values):
                values.reduce(Bytes() + UInt32(9) + UInt32(4) + UInt64(values.count)) { $0 + UInt32($1) }
            }
        }
    }

    /// A tensor, sizes with the fastest-varying first.
    struct Tensor {
        var name: String
        var sizes: [Int]
        var type: UInt32 = 0
        var data: [UInt8]

        init(_ name: String, _ sizes: Int..., value: Float = 0.5) {
            self.name = name
            self.sizes = sizes
            data = []
            for index in 0..<sizes.reduce(1, *) {
                data += withUnsafeBytes(of: (value + Float(index)).bitPattern.littleEndian) { Array($0) }
            }
        }
    }

    var metadata: [String: Value]
    var tensors: [Tensor]

    /// One layer: hidden size 8, two heads of 4 values, one KV head, feed-forward 6, six tokens, tied head.
    static func small(architecture: String = "llama") -> GGUFModel {
        let metadata: [String: Value] = [
            "general.architecture": .text(architecture), "ARCH.context_length": .size(32),
            "ARCH.embedding_length": .size(8), "ARCH.block_count": .size(1), "ARCH.feed_forward_length": .size(6),
            "ARCH.attention.head_count": .size(2), "ARCH.attention.head_count_kv": .size(1),
            "ARCH.attention.layer_norm_rms_epsilon": .number(0.5), "ARCH.rope.freq_base": .number(1000),
            "ARCH.rope.dimension_count": .size(4), "tokenizer.ggml.bos_token_id": .size(1),
            "tokenizer.ggml.eos_token_id": .size(2),
        ]
        var model = GGUFModel(
            metadata: Dictionary(
                uniqueKeysWithValues: metadata.map { ($0.replacingOccurrences(of: "ARCH", with: architecture), $1) }),
            tensors: [
                Tensor("token_embd.weight", 8, 6), Tensor("output_norm.weight", 8), Tensor("blk.0.attn_norm.weight", 8),
                Tensor("blk.0.attn_q.weight", 8, 8), Tensor("blk.0.attn_k.weight", 8, 4),
                Tensor("blk.0.attn_v.weight", 8, 4), Tensor("blk.0.attn_output.weight", 8, 8),
                Tensor("blk.0.ffn_norm.weight", 8), Tensor("blk.0.ffn_gate.weight", 8, 6),
                Tensor("blk.0.ffn_up.weight", 8, 6), Tensor("blk.0.ffn_down.weight", 6, 8),
            ])
        if architecture == "qwen2" {
            model.tensors += [
                Tensor("blk.0.attn_q.bias", 8), Tensor("blk.0.attn_k.bias", 4), Tensor("blk.0.attn_v.bias", 4),
            ]
        }
        if architecture == "qwen3" {
            model.tensors += [Tensor("blk.0.attn_q_norm.weight", 4), Tensor("blk.0.attn_k_norm.weight", 4)]
        }
        return model
    }

    /// The whole file.
    var bytes: [UInt8] {
        var bytes = Bytes.header(tensors: UInt64(tensors.count), entries: UInt64(metadata.count))
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) { bytes = bytes + key + value.bytes }
        var data: [UInt8] = []
        for tensor in tensors {
            bytes =
                bytes
                + .tensor(tensor.name, tensor.sizes.map { UInt64($0) }, type: tensor.type, offset: UInt64(data.count))
            data += tensor.data + [UInt8](repeating: 0, count: (32 - tensor.data.count % 32) % 32)
        }
        return bytes.withData(0).all + data
    }

    /// Writes the file into a directory and opens it.
    func open(in directory: TemporaryDirectory) throws -> Checkpoint {
        let path = directory.path + "/model.gguf"
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        return try Checkpoint(path: path)
    }
}
