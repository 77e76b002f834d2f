// Any bytes as a file of weights: they are refused, or their tensors are read, and no value is infinite or no number.
//
// What begins with "GGUF" is a GGUF model; all else is a safetensors file, beside a config.json that fits the corpus.

import Checkpoint
import Glibc

/// A directory in memory, for the life of the process.
private let folder: String = {
    let path = "/dev/shm/winnow-fuzz-weights-\(getpid())"
    mkdir(path, 0o700)
    atexit {
        for name in ["config.json", "model.safetensors", "model.gguf"] {
            unlink("/dev/shm/winnow-fuzz-weights-\(getpid())/\(name)")
        }
        rmdir("/dev/shm/winnow-fuzz-weights-\(getpid())")
    }
    _ = write(
        #"""
        {"architectures": ["LlamaForCausalLM"], "hidden_size": 4, "intermediate_size": 2, "num_attention_heads": 2,
         "num_hidden_layers": 1, "vocab_size": 3, "tie_word_embeddings": true}
        """#.utf8, "\(path)/config.json")
    return path
}()

private func write(_ bytes: some Sequence<UInt8>, _ path: String) -> String {
    guard let file = fopen(path, "w") else { return path }
    let all = Array(bytes)
    fwrite(all, 1, all.count, file)
    fclose(file)
    return path
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzWeights(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeBufferPointer(start: start, count: count)
    do {
        let isGGUF = input.starts(with: "GGUF".utf8)
        let written = write(input, folder + (isGGUF ? "/model.gguf" : "/model.safetensors"))
        let checkpoint = try Checkpoint(path: isGGUF ? written : folder)
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
