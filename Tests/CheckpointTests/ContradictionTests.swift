// Files whose parts say different things, and values that are none.

import Checkpoint
import Foundation
import Testing

/// A clock's time in nanoseconds.
private func nanoseconds(_ clock: clockid_t) -> Int {
    var time = timespec()
    clock_gettime(clock, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

@Suite struct ContradictionTests {
    /// Changes bytes of one tensor of a model's only file.
    private func patch(_ directory: TemporaryDirectory, _ name: String, _ change: (inout Data) -> Void) throws {
        let path = directory.path + "/model.safetensors"
        let range = try #require(try SafetensorsFile(path: path).tensors[name]?.bytes)
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        var own = Data(bytes[range])
        change(&own)
        bytes.replaceSubrange(range, with: own)
        try bytes.write(to: URL(fileURLWithPath: path))
    }

    private func bytes(_ directory: TemporaryDirectory, _ name: String) throws -> Data {
        let file = try SafetensorsFile(path: directory.path + "/model.safetensors")
        let range = try #require(file.tensors[name]?.bytes)
        return file.file.withBytes { Data($0[range]) }
    }

    /// As transformers 5 does it; the answers must be those of the file's head.
    @Test func aHeadOfItsOwnGoesBeforeTheTie() throws {
        let directory = try smallModel()
        let own = try Checkpoint(path: directory.path)
        try directory.edit("config.json", ["tie_word_embeddings": .bool(true)])
        let tied = try Checkpoint(path: directory.path)
        #expect(!tied.configuration.tiedEmbeddings && tied.configuration == own.configuration)
        #expect(tied.notes.count == 1 && tied.notes.first?.contains("lm_head.weight") == true, "\(tied.notes)")
        let head = TensorLayout(tied.configuration).head
        #expect(try head.name == "lm_head.weight" && values(tied, head) == values(own, head))
        #expect(try tied.fingerprint() == own.fingerprint())

        // A copy of the embedding is no other head.
        let embedding = try bytes(directory, "model.embed_tokens.weight")
        try patch(directory, "lm_head.weight") { $0 = embedding }
        let copied = try Checkpoint(path: directory.path)
        #expect(copied.configuration.tiedEmbeddings && copied.notes == [])
    }

    @Test func tensorsThatTheFamilyLacksAreListed() throws {
        let directory = try smallModel()
        #expect(try Checkpoint(path: directory.path).notes == [])
        try directory.edit("config.json", ["num_hidden_layers": .integer(1)])
        let notes = try Checkpoint(path: directory.path).notes
        #expect(notes.count == 1 && notes.first?.hasPrefix("9 tensors are not used") == true, "\(notes)")
        #expect(notes.first?.contains("model.layers.1.input_layernorm.weight") == true)
    }

    /// In every place a value can be: the error names file and tensor, whichever rows are read.
    @Test(arguments: [UInt16(0x7FC0), 0x7F80, 0xFF80, 0xFFFF])
    func weightsThatAreNotFiniteAreNamed(bits: UInt16) throws {
        let directory = try smallModel()
        for (name, place) in [("model.layers.1.mlp.down_proj.weight", 24 * 5 + 3), ("model.norm.weight", 15)] {
            try patch(directory, name) { data in
                data[data.startIndex + 2 * place] = UInt8(truncatingIfNeeded: bits)
                data[data.startIndex + 2 * place + 1] = UInt8(bits >> 8)
            }
            let checkpoint = try Checkpoint(path: directory.path)
            let tensors = TensorLayout(checkpoint.configuration).tensors
            let tensor = try #require(tensors.first { $0.name == name })
            let error = #expect(throws: CheckpointError.self) { try values(checkpoint, tensor) }
            #expect(error?.place == name && error?.path == directory.path + "/model.safetensors")
            if tensor.shape.count == 2 {
                #expect(error?.problem.contains("row 5, column 3") == true, "\(String(describing: error))")
                #expect(throws: CheckpointError.self) { try values(checkpoint, tensor, rows: 5..<6) }
                _ = try values(checkpoint, tensor, rows: 0..<5)
                _ = try values(checkpoint, tensor, rows: 6..<16)
            }
            for other in tensors where other.name != name && other.name != "model.layers.1.mlp.down_proj.weight" {
                _ = try values(checkpoint, other)
            }
        }
    }

    /// The largest numbers there are stay numbers.
    @Test func theLargestFiniteWeightsAreRead() throws {
        let directory = try smallModel()
        try patch(directory, "model.norm.weight") { data in
            for index in 0..<16 { data[data.startIndex + 2 * index] = 0x7F }
            for index in 0..<16 { data[data.startIndex + 2 * index + 1] = index % 2 == 0 ? 0x7F : 0xFF }
        }
        let checkpoint = try Checkpoint(path: directory.path)
        let read = try values(checkpoint, TensorLayout(checkpoint.configuration).finalNorm)
        #expect(read.allSatisfy { $0.isFinite && abs($0) > 3.38e38 })
    }

    /// 300,000 empty tensors are read in the time that their bytes take; more than any model has are refused.
    @Test func headersOfManyTensorsAreReadQuickly() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/model.safetensors"
        func write(_ count: Int) throws {
            var header = Array("{".utf8)
            let rest = Array("\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}".utf8)
            for index in 0..<count {
                header += index == 0 ? [0x22] : [0x2C, 0x22]
                header += String(index).utf8
                header += rest
            }
            header += Array("}".utf8)
            let length = (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) }
            try Data(length + header).write(to: URL(fileURLWithPath: path))
        }
        try write(300_000)
        // Of this thread alone: the machine may have other work.
        let start = nanoseconds(CLOCK_THREAD_CPUTIME_ID)
        #expect(try SafetensorsFile(path: path).tensors.count == 300_000)
        let seconds = Double(nanoseconds(CLOCK_THREAD_CPUTIME_ID) - start) / 1e9
        #expect(seconds < 6)
        print("300,000 empty tensors: \(seconds) s")
        try write(1_050_000)
        let error = #expect(throws: CheckpointError.self) { try SafetensorsFile(path: path) }
        #expect(error?.place == "header" && error?.problem.contains("1050000 tensors") == true)
    }
}
