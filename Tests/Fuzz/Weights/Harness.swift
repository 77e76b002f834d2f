// Any bytes as a file of weights: they are refused, or their tensors are read, and no value is infinite or no number.
//
// What begins with "GGUF" is a GGUF model, with "{" a config.json beside weights that fit the corpus; all else is a
// safetensors file, beside a config.json that does.

import Checkpoint
import Glibc

/// The only kind that is fed; nil: all.
private let only = getenv("WINNOW_FUZZ_ONLY").map { String(cString: $0) }
/// A directory in memory, for the life of the process.
private let folder = scratch("weights")
/// Another, with weights of its own.
private let configured: String = {
    let folder = scratch("configurations")
    let layer = [
        ("input_layernorm", [4]), ("self_attn.q_proj", [4, 4]), ("self_attn.k_proj", [4, 4]),
        ("self_attn.v_proj", [4, 4]), ("self_attn.o_proj", [4, 4]), ("post_attention_layernorm", [4]),
        ("mlp.gate_proj", [2, 4]), ("mlp.up_proj", [2, 4]), ("mlp.down_proj", [4, 2]),
    ].map { ("model.layers.0.\($0.0).weight", $0.1) }
    var (entries, count): ([String], Int) = ([], 0)
    for (name, shape) in [("model.embed_tokens.weight", [3, 4]), ("model.norm.weight", [4])] + layer {
        let size = shape.reduce(4, *)
        entries.append(
            #""\#(name)":{"dtype":"F32","shape":\#(shape),"data_offsets":[\#(count),\#(count + size)]}"#)
        count += size
    }
    let header = "{" + entries.joined(separator: ",") + "}"
    let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) }
    _ = write(length + Array(header.utf8) + [UInt8](repeating: 0, count: count), "\(folder)/model.safetensors")
    return folder
}()

private func scratch(_ name: String) -> String {
    let path = "/dev/shm/winnow-fuzz-\(name)-\(getpid())"
    mkdir(path, 0o700)
    _ = write(
        #"""
        {"architectures": ["LlamaForCausalLM"], "hidden_size": 4, "intermediate_size": 2, "num_attention_heads": 2,
         "num_hidden_layers": 1, "vocab_size": 3, "tie_word_embeddings": true}
        """#.utf8, "\(path)/config.json")
    atexit {
        for folder in ["weights", "configurations"].map({ "/dev/shm/winnow-fuzz-\($0)-\(getpid())" }) {
            for name in ["config.json", "model.safetensors", "model.gguf"] { unlink("\(folder)/\(name)") }
            rmdir(folder)
        }
    }
    return path
}

private func write(_ bytes: some Sequence<UInt8>, _ path: String) -> String {
    guard let file = fopen(path, "w") else { return path }
    let all = Array(bytes)
    fwrite(all, 1, all.count, file)
    fclose(file)
    return path
}

private func safetensors(_ input: UnsafeBufferPointer<UInt8>) throws -> Checkpoint {
    _ = write(input, folder + "/model.safetensors")
    return try Checkpoint(path: folder)
}

private func configuration(_ input: UnsafeBufferPointer<UInt8>) throws -> Checkpoint {
    _ = write(input, configured + "/config.json")
    return try Checkpoint(path: configured)
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzWeights(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeBufferPointer(start: start, count: count)
    let kind =
        input.starts(with: "GGUF".utf8) ? "gguf" : input.first == UInt8(ascii: "{") ? "configuration" : "safetensors"
    if let only, only != kind { return -1 }
    do {
        let checkpoint =
            switch kind {
            case "gguf": try Checkpoint(path: write(input, folder + "/model.gguf"))
            case "configuration": try configuration(input)
            default: try safetensors(input)
            }
        _ = try checkpoint.fingerprint()
        precondition(checkpoint.configuration.rotaryFrequencies.allSatisfy { $0.isFinite }, "a frequency that is none")
        for tensor in TensorLayout(checkpoint.configuration).tensors {
            let rows = min(tensor.rows, 64)
            let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: rows * tensor.columns)
            defer { values.deallocate() }
            values.initialize(repeating: .nan)
            try checkpoint.decodeRows(tensor, rows: 0..<rows, into: values)
            precondition(values.allSatisfy(\.isFinite), "a value that is no number")
        }
    } catch {
        precondition(!"\(error)".isEmpty, "an error without words")
    }
    return 0
}
