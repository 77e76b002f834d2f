// Models in parts: what each holds, that they belong together, and what does not.

import Checkpoint
import Foundation
import Layers
import Testing

@Suite struct PartTests {
    private static let parts = [
        ModelSplitter.Part(name: "stage-0", layers: LayerSpan(0..<2)),
        ModelSplitter.Part(name: "stage-1", layers: LayerSpan(2..<3)),
        ModelSplitter.Part(name: "stage-2", layers: LayerSpan(3..<5)),
    ]
    /// Cut within layers 1 and 2.
    private static let halves = [
        ModelSplitter.Part(name: "stage-0", layers: LayerSpan(sublayers: 0..<3)),
        ModelSplitter.Part(name: "stage-1", layers: LayerSpan(sublayers: 3..<5)),
        ModelSplitter.Part(name: "stage-2", layers: LayerSpan(sublayers: 5..<10)),
    ]

    private func split(
        _ source: TemporaryDirectory, _ parts: [ModelSplitter.Part] = parts
    ) throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        try ModelSplitter.write(source.path, parts: parts, to: directory.path)
        return directory
    }

    /// The tensors of a part's file.
    private func tensors(_ directory: String) throws -> Set<String> {
        Set(try SafetensorsFile(path: directory + "/model.safetensors").tensors.keys)
    }

    private func error(_ body: () throws -> Void) -> CheckpointError? {
        #expect(throws: CheckpointError.self, performing: body)
    }

    @Test(arguments: [false, true], [parts, halves])
    func partsHaveTheirTensorsAndTheWholeFingerprint(isInt8: Bool, parts: [ModelSplitter.Part]) throws {
        let plain = try smallModel(layers: 5)
        let quantized = try TemporaryDirectory()
        if isInt8 { try Int8Quantizer.write(plain.path, to: quantized.path) }
        let source = isInt8 ? quantized : plain
        let whole = try Checkpoint(path: source.path)
        let directory = try split(source, parts)
        var all: Set<String> = []
        for part in parts {
            let path = "\(directory.path)/\(part.name)"
            let checkpoint = try Checkpoint(path: path)
            #expect(checkpoint.heldLayers == part.layers && checkpoint.part?.layers == part.layers)
            #expect(try checkpoint.fingerprint() == whole.fingerprint())
            var shape = whole.configuration
            shape.eosTokens = checkpoint.configuration.eosTokens
            #expect(checkpoint.configuration == shape && checkpoint.notes.isEmpty)
            let names = try tensors(path)
            #expect(all.isDisjoint(with: names))
            all.formUnion(names)
            for name in names {
                let ends = ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]
                #expect(ends.contains(name) || part.layers.layers.contains { name.hasPrefix("model.layers.\($0).") })
            }
            for number in part.layers.sublayers {
                for tensor in TensorLayout(shape).sublayer(number) {
                    #expect(names.contains(tensor.name))
                    #expect(try values(checkpoint, tensor) == values(whole, tensor))
                }
            }
            // A stage needs no text.
            #expect(!FileManager.default.fileExists(atPath: path + "/tokenizer.json"))
            #expect(checkpoint.byteCount < whole.byteCount * 2 / 3)
        }
        #expect(try all == tensors(source.path))

        let path = "\(directory.path)/\(ModelSplitter.coordinatorName)"
        let coordinator = try Checkpoint(path: path)
        #expect(coordinator.heldLayers.isEmpty && coordinator.byteCount == 0 && coordinator.parameterCount == 0)
        #expect(try coordinator.fingerprint() == whole.fingerprint())
        #expect(coordinator.configuration == whole.configuration)
        for name in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
            #expect(
                FileManager.default.contents(atPath: "\(path)/\(name)")
                    == FileManager.default.contents(atPath: "\(source.path)/\(name)"))
        }
        #expect(!FileManager.default.fileExists(atPath: path + "/model.safetensors"))
    }

    /// config.json ties the head to the embedding; whether the files have another head shows in the last part alone.
    @Test(arguments: [false, true]) func headsAreWhereTheyAreNeeded(hasHead: Bool) throws {
        let source = try smallModel(layers: 5)
        try source.edit("config.json", ["tie_word_embeddings": .bool(true)])
        if !hasHead {
            let path = source.path + "/model.safetensors"
            var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            let range = try #require(bytes.range(of: Data("lm_head.weight".utf8)))
            bytes.replaceSubrange(range, with: Data("lm_tail.weight".utf8))
            try bytes.write(to: URL(fileURLWithPath: path))
        }
        let whole = try Checkpoint(path: source.path)
        #expect(whole.configuration.tiedEmbeddings != hasHead)
        let directory = try split(source)
        for part in Self.parts {
            let checkpoint = try Checkpoint(path: "\(directory.path)/\(part.name)")
            #expect(try checkpoint.fingerprint() == whole.fingerprint())
        }
        let last = try tensors(directory.path + "/stage-2")
        #expect(last.contains("lm_head.weight") == hasHead && last.contains("model.embed_tokens.weight") != hasHead)
        #expect(try tensors(directory.path + "/stage-0").contains("model.embed_tokens.weight"))
    }

    @Test func otherLayersAreNamedWithTheFix() throws {
        let directory = try split(smallModel(layers: 5))
        let stage = try Checkpoint(path: directory.path + "/stage-0")
        try stage.checkHeld(LayerSpan(0..<2))
        try stage.checkHeld(LayerSpan(1..<2))
        for layers in [0..<3, 2..<3, 4..<5, 0..<5] {
            let error = error { try stage.checkHeld(LayerSpan(layers)) }
            let last = layers.upperBound - 1
            #expect(error?.place == (layers.count == 1 ? "layers \(last)" : "layers \(layers.lowerBound)-\(last)"))
            #expect(error?.problem.contains("holds layers 0-1") == true && error?.path == stage.path)
            #expect(error?.fix?.contains("the part that holds them") == true)
        }
        let coordinator = try Checkpoint(path: directory.path + "/coordinator")
        #expect(error { try coordinator.checkHeld(LayerSpan(0..<1)) }?.problem.contains("no weights") == true)
        // A part is no model to make others of.
        let out = try TemporaryDirectory()
        #expect(error { try ModelSplitter.write(stage.path, parts: [Self.parts[0]], to: out.path) } != nil)
        #expect(error { try Int8Quantizer.write(stage.path, to: out.path) } != nil)
        #expect(try FileManager.default.contentsOfDirectory(atPath: out.path).isEmpty)
    }

    @Test func weightsOfAnotherModelAreFound() throws {
        let directory = try split(smallModel(layers: 5))
        let other = try split(smallModel(seed: 2, layers: 5))
        let path = directory.path + "/stage-1"
        // Another model's weights of the same shape, in a part of this one.
        let weights = URL(fileURLWithPath: path + "/model.safetensors")
        let own = try Data(contentsOf: weights)
        try Data(contentsOf: URL(fileURLWithPath: other.path + "/stage-1/model.safetensors")).write(to: weights)
        let strange = error { _ = try Checkpoint(path: path).fingerprint() }
        #expect(strange?.place.hasPrefix("model.layers.2.") == true && strange?.fix?.contains("split") == true)
        // Other layers' weights.
        try Data(contentsOf: URL(fileURLWithPath: directory.path + "/stage-0/model.safetensors")).write(to: weights)
        #expect(error { _ = try Checkpoint(path: path) }?.problem == "the tensor is missing")
        try own.write(to: weights)
        let fingerprint = try Checkpoint(path: path).fingerprint()
        // Another model's list: another model.
        let list = try Data(contentsOf: URL(fileURLWithPath: other.path + "/coordinator/winnow-part.json"))
        try list.write(to: URL(fileURLWithPath: directory.path + "/coordinator/winnow-part.json"))
        #expect(try Checkpoint(path: directory.path + "/coordinator").fingerprint() != fingerprint)
        // Another configuration: another model.
        try TemporaryDirectory(at: path).edit("config.json", ["rope_theta": .integer(77)])
        #expect(try Checkpoint(path: path).fingerprint() != fingerprint)
    }

    @Test func listsThatCannotBeAreNamed() throws {
        let directory = try split(smallModel(layers: 5))
        let part = try TemporaryDirectory(at: directory.path + "/stage-1")
        let good = try part.json("winnow-part.json")
        let changes: [(String, JSONValue?)] = [
            ("version", .integer(3)), ("version", nil), ("layers", .integer(2)), ("layers", nil),
            ("layers", .string("2-5")), ("layers", .string("")), ("layers", .string("3-2")),
            ("layers", .string("9999999999999999999")), ("tensors", nil), ("tensors", .array([])),
            ("tensors", .object([:])), ("tensors", .object(["model.norm.weight": .integer(1)])),
            ("tensors", .object(["model.norm.weight": .string("BF16 16 00")])),
            ("tensors", .object(["model.norm.weight": .string("BF16\n16 " + String(repeating: "0", count: 64))])),
        ]
        for (key, value) in changes {
            try part.write(good, to: "winnow-part.json")
            try part.edit("winnow-part.json", [key: value])
            let error = error { _ = try Checkpoint(path: part.path) }
            #expect(error?.place.hasPrefix(key) == true && error?.path == part.path + "/winnow-part.json")
        }
        for text in ["", "{", "[]"] {
            try Data(text.utf8).write(to: URL(fileURLWithPath: part.path + "/winnow-part.json"))
            #expect(error { _ = try Checkpoint(path: part.path) } != nil)
        }
    }

    /// Stages that share a feed-forward by rows both have its weights.
    @Test func sharedFeedForwardsAreInBothParts() throws {
        let spans = ["0-1f34", "1f34-4"].compactMap { LayerSpan($0, below: 5) }
        let directory = try split(smallModel(layers: 5), zip(["a", "b"], spans).map { .init(name: $0, layers: $1) })
        let names = try ["a", "b"].map { try tensors("\(directory.path)/\($0)") }
        let shape = try Checkpoint(path: directory.path + "/a").configuration
        #expect(names[0].intersection(names[1]) == Set(TensorLayout(shape).layer(1).feedForward.map(\.name)))
        for (name, span) in zip(["a", "b"], spans) {
            let part = try Checkpoint(path: "\(directory.path)/\(name)")
            #expect(part.heldLayers == span)
            // Fewer rows than it may do are none of its own accord.
            try part.checkHeld(name == "a" ? LayerSpan(sublayers: 0..<3) : LayerSpan(2..<5))
            #expect(error { try part.checkHeld(LayerSpan(0..<2)) }?.problem.contains("holds layers \(span)") == true)
        }
    }

    /// Parts that an earlier version wrote, of whole layers.
    @Test func theFirstVersionOfTheListIsRead() throws {
        let directory = try split(smallModel(layers: 5))
        let part = try TemporaryDirectory(at: directory.path + "/stage-1")
        try part.edit(
            "winnow-part.json",
            [
                "version": .integer(1), "first_layer": .integer(2), "layer_count": .integer(1), "layers": nil,
            ])
        #expect(try Checkpoint(path: part.path).heldLayers == LayerSpan(2..<3))
        try part.edit("winnow-part.json", ["layer_count": .integer(4)])
        #expect(error { _ = try Checkpoint(path: part.path) }?.place == "layer_count")
    }

    @Test func whatCannotBeSplitLeavesNothing() throws {
        let source = try smallModel(layers: 5)
        let out = try TemporaryDirectory()
        let bad: [[ModelSplitter.Part]] = [
            [.init(name: "a", layers: LayerSpan(0..<6))], [.init(name: "a", layers: LayerSpan(2..<2))],
            [.init(name: "", layers: LayerSpan(0..<1))],
            [.init(name: "../a", layers: LayerSpan(0..<1))], [.init(name: "..", layers: LayerSpan(0..<1))],
            [.init(name: "coordinator", layers: LayerSpan(0..<1))],
            [.init(name: "a", layers: LayerSpan(0..<1)), .init(name: "a", layers: LayerSpan(1..<2))],
        ]
        for parts in bad {
            #expect(error { try ModelSplitter.write(source.path, parts: parts, to: out.path + "/new") } != nil)
            #expect(try FileManager.default.contentsOfDirectory(atPath: out.path).isEmpty)
        }
        // A model in the way of the last part: the parts before it are taken back, it stays.
        try FileManager.default.createDirectory(atPath: out.path + "/stage-2", withIntermediateDirectories: false)
        try Data("{}".utf8).write(to: URL(fileURLWithPath: out.path + "/stage-2/config.json"))
        #expect(error { try ModelSplitter.write(source.path, parts: Self.parts, to: out.path) }?.place == "config.json")
        #expect(
            try FileManager.default.subpathsOfDirectory(atPath: out.path).sorted() == [
                "stage-2", "stage-2/config.json",
            ])

        let file = out.path + "/model.gguf"
        try SyntheticCheckpoint.write(
            SyntheticCheckpoint.configuration(
                hidden: 32, layers: 1, feedForward: 32, heads: 2, kvHeads: 2, vocabulary: 300, context: 128),
            format: .gguf, to: file)
        #expect(error { try ModelSplitter.write(file, parts: [], to: out.path) }?.problem.contains("GGUF") == true)
    }
}
