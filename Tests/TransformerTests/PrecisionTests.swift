// bf16 and int8 against Float32, on trained and random models.

import Checkpoint
import Compute
import Foundation
import Layers
import Testing
import Transformer

@Suite struct PrecisionTests {
    private static let models = fixtures.deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("cluster/models")

    /// Paths of the models in the tree that are computed: trained ones, and random ones of every family.
    static let paths =
        ["stories260K", "needle-main-2m", "needle-speculator-0.4m"].map { models.appendingPathComponent($0).path }
        + ["hf-gqa", "hf-untied", "hf-llama3rope", "hf-mistral", "hf-qwen2", "hf-qwen3"].map {
            fixtures.appendingPathComponent($0).path
        }

    /// Whether bf16 rounds activations too, as CPUs that multiply the format do: then the way a row travels shows.
    private static let roundsActivations = ["oneDNN", "BF16"].contains { Precision.bf16.kernel.contains($0) }

    /// What the last layer leaves of a prompt, all rows.
    private func lastHidden(_ path: String, _ precision: Precision) throws -> [Float] {
        let checkpoint = try Checkpoint(path: path)
        let shape = checkpoint.configuration
        let pool = ThreadPool(threads: 2, name: "precision")
        let stage = try Stage(checkpoint: checkpoint, layers: shape.allLayers, precision: precision, pool: pool)
        let count = min(200, shape.contextLength)
        let hidden = try stage.embed(tokens(count, seed: 11, vocabulary: shape.vocabularySize))
        let cache = stage.makeCache(capacity: count)
        try stage.forward(hidden, segments: [Segment(cache: cache, positions: (0..<Int32(count)).map { $0 })])
        return hidden.withUnsafeBufferPointer { Array($0) }
    }

    /// Frobenius norm of the difference, relative to that of the reference.
    private func relativeError(_ values: [Float], _ reference: [Float]) -> Double {
        var (error, size) = (0.0, 0.0)
        for (value, expected) in zip(values, reference) {
            error += pow(Double(value) - Double(expected), 2)
            size += pow(Double(expected), 2)
        }
        return (error / size).squareRoot()
    }

    @Test(arguments: paths) func staysCloseToFloat32(path: String) throws {
        let reference = try lastHidden(path, .f32)
        let name = (path as NSString).lastPathComponent
        // Random models whose attention is peaked by chance amplify rounding more than trained ones do.
        let isTrained = path.hasPrefix(Self.models.path)
        let bounds = (
            bf16: isTrained ? 2e-2 : 4e-2,
            int8: isTrained ? 1e-1 : Precision.int8.finer == .bf16 ? 1.5e-1 : 2e-1
        )
        for (precision, bound) in [(Precision.bf16, bounds.bf16), (.int8, bounds.int8)] {
            let error = relativeError(try lastHidden(path, precision), reference)
            print("\(name) \(precision.rawValue): relative error of the last hidden state \(error)")
            #expect(error < bound, "\(name) in \(precision)")
            #expect(error > 0)
        }
    }

    /// A channel far above the rest, as some trained models have, must not cost the others their bits. The weights behind it
    /// take less of it, so that the model is the same.
    @Test(arguments: [Float(30), 300]) func outlierChannelsLoseLittleMore(factor: Float) throws {
        let folder = try TemporaryDirectory()
        let source = Self.models.appendingPathComponent("stories260K").path
        for name in ["config.json", "model.safetensors"] {
            try FileManager.default.copyItem(atPath: source + "/" + name, toPath: folder.path + "/" + name)
        }
        let usual = relativeError(try lastHidden(source, .int8), try lastHidden(source, .f32))
        let file = try SafetensorsFile(path: folder.path + "/model.safetensors")
        var data = file.file.withBytes { Data($0) }
        let (channel, hidden) = (7, try Checkpoint(path: source).configuration.hiddenSize)
        func multiply(_ tensor: String, _ factor: Float) throws {
            let bytes = try #require(file.tensors[tensor]).bytes
            for at in stride(from: bytes.lowerBound + 4 * channel, to: bytes.upperBound, by: 4 * hidden) {
                let bits = (0..<4).reduce(UInt32(0)) { $0 | UInt32(data[at + $1]) << (8 * UInt32($1)) }
                let product = (Float(bitPattern: bits) * factor).bitPattern.littleEndian
                withUnsafeBytes(of: product) { data.replaceSubrange(at..<at + 4, with: $0) }
            }
        }
        for layer in 0..<5 {
            try multiply("model.layers.\(layer).post_attention_layernorm.weight", factor)
            for name in ["gate", "up"] { try multiply("model.layers.\(layer).mlp.\(name)_proj.weight", 1 / factor) }
        }
        try data.write(to: URL(fileURLWithPath: folder.path + "/model.safetensors"))
        // It is said before the model is loaded, and of no other model or format.
        let notes = try Stage.notes(on: Checkpoint(path: folder.path), precision: .int8)
        #expect(notes.count == 1)
        let note = try #require(notes.first)
        let name = try #require(
            note.firstMatch(of: /model\.layers\.(\d)\.post_attention_layernorm\.weight is (\d+) times/))
        #expect((0.3...3).contains((Float(name.2) ?? 0) / factor), "\(note)")
        #expect(note.contains("5 norms"), "\(note)")
        let one = try Stage.notes(on: Checkpoint(path: folder.path), layers: LayerSpan(2..<3), precision: .int8)
        #expect(one.count == 1 && one[0].contains("model.layers.2."), "\(one)")
        #expect(try Stage.notes(on: Checkpoint(path: folder.path), precision: .bf16).isEmpty)
        #expect(try Stage.notes(on: Checkpoint(path: source), precision: .int8).isEmpty)
        let error = relativeError(try lastHidden(folder.path, .int8), try lastHidden(folder.path, .f32))
        print("int8 with a channel of \(factor): \(error), without \(usual)")
        // With all of it left in the norm: 2.3 to 2.6 times for 30, 17 for 300.
        #expect(error < 2.1 * usual)
    }

    /// A text that Float32 has written, forced upon the other formats token by token: where Float32's choice is clear it is
    /// theirs, whether they see the text at once, as a prompt, or a few rows at a time, as they would write it.
    @Test(arguments: ["stories260K", "needle-main-2m"], [Precision.bf16, .int8])
    func clearChoicesAreFloat32s(model: String, precision: Precision) throws {
        let checkpoint = try Checkpoint(path: Self.models.appendingPathComponent(model).path)
        func stages(_ precision: Precision) throws -> [Stage] {
            [
                try Stage(
                    checkpoint: checkpoint, layers: checkpoint.configuration.allLayers, precision: precision,
                    pool: ThreadPool(threads: 2, name: "forced"))
            ]
        }
        let count = 200
        let exact = try stages(.f32)
        var text: [Int32] = [1]
        var expected: [[Float]] = []
        let cache = exact[0].makeCache(capacity: count)
        while text.count <= count {
            let hidden = try exact[0].embed([text[text.count - 1]])
            try exact[0].forward(hidden, segments: [Segment(cache: cache, positions: [Int32(text.count - 1)])])
            expected.append(values(try exact[0].logits(hidden, rows: [0]))[0])
            text.append(Self.best(expected[expected.count - 1]).token)
        }
        text.removeLast()
        // In logits: what rounding can turn, with room.
        let clear: Float = precision == .int8 ? 1 : 0.25
        let rounded = try stages(precision)
        for rows in [count, 1, 3, 8] {
            let chunks = stride(from: 0, to: count, by: rows).map { $0..<min(count, $0 + rows) }
            let actual = try logits(Request(text, on: rounded), chunks: chunks, through: rounded)
            var (clearChoices, turned, largest, squares) = (0, 0, Float(0), Float(0))
            for (row, reference) in zip(actual, expected) {
                for (value, exact) in zip(row, reference) {
                    largest = max(largest, abs(value - exact))
                    squares += (value - exact) * (value - exact) / Float(row.count * count)
                }
                let choice = Self.best(reference)
                let isSame = Self.best(row).token == choice.token
                if choice.margin > clear {
                    clearChoices += 1
                    #expect(isSame, "margin \(choice.margin), \(rows) rows at a time")
                }
                turned += isSame ? 0 : 1
            }
            print(
                "\(model) \(precision.rawValue), \(rows) rows at a time: \(clearChoices) of \(count) clear, \(turned)",
                "turned; logits off by \(largest) at most, \(squares.squareRoot()) as a rule")
            #expect(clearChoices > count / 2)
        }
    }

    /// The most likely token, the lowest among equals, and how far it is ahead of the next.
    private static func best(_ logits: [Float]) -> (token: Int32, margin: Float) {
        let first = logits.indices.max { logits[$0] < logits[$1] || logits[$0] == logits[$1] && $0 > $1 } ?? 0
        let second = logits.indices.filter { $0 != first }.map { logits[$0] }.max() ?? -.infinity
        return (Int32(first), logits[first] - second)
    }

    @Test(arguments: Precision.allCases) func wantedRowsAreThoseOfAllRows(precision: Precision) throws {
        // Leaving out what nobody wants changes nothing but rounding, also in a batch with strangers.
        let checkpoint = try SmallModel.checkpoint()
        let pool = ThreadPool(threads: 2, name: "wanted")
        let stage = try Stage(checkpoint: checkpoint, layers: LayerSpan(0..<5), precision: precision, pool: pool)
        func run(_ outputs: [Int]?) throws -> (rows: [[Float]], next: [[Float]]) {
            let caches = [stage.makeCache(capacity: 41), stage.makeCache(capacity: 31), stage.makeCache(capacity: 2)]
            let counts = [40, 30, 1]
            let hidden = try stage.embed(tokens(71, seed: 9))
            let segments = zip(caches, counts).map {
                Segment(cache: $0, positions: (0..<Int32($1)).map { 2 * $0 })
            }
            try stage.forward(hidden, segments: segments, outputs: outputs)
            let rows = values(hidden)
            // The caches of rows that were not wanted must be complete.
            let more = try stage.embed([5, 6, 7])
            try stage.forward(
                more, segments: zip(caches, counts).map { Segment(cache: $0, positions: [Int32(2 * $1)]) })
            return (rows, values(more))
        }
        let all = try run(nil)
        for outputs in [[], [0], [39, 69, 70], [12, 13, 40, 70], Array(0..<71)] {
            let some = try run(outputs)
            // A last digit that is rounded the other way shows: of 8 bits, of the bf16 cache and 16-bit activations.
            let tolerance: Float =
                switch precision {
                case .f32: 1e-4
                case .bf16: Self.roundsActivations ? 5e-2 : 1e-3
                case .int8: 5e-2
                }
            #expect(difference(outputs.map { some.rows[$0] }, outputs.map { all.rows[$0] }) < tolerance)
            #expect(difference(some.next, all.next) < tolerance)
        }
        let cache = stage.makeCache(capacity: 3)
        for outputs in [[2, 1], [3], [-1], [1, 1]] {
            #expect(throws: StageError.self) {
                try stage.forward(
                    try stage.embed([1, 2, 3]), segments: [Segment(cache: cache, positions: [0, 1, 2])],
                    outputs: outputs)
            }
        }
        #expect(cache.count == 0)
    }

    /// The same rows in the same company: cutting the model into stages then changes nothing, to the last bit.
    @Test(arguments: Precision.allCases) func stagesAloneMakeNoDifference(precision: Precision) throws {
        let checkpoint = try Checkpoint(path: Self.models.appendingPathComponent("stories260K").path)
        func run(_ cuts: [Int]) throws -> [[Float]] {
            let bounds = [0] + cuts + [checkpoint.configuration.layerCount]
            let stages = try zip(bounds, bounds.dropFirst()).map {
                try Stage(
                    checkpoint: checkpoint, layers: LayerSpan($0..<$1), precision: precision,
                    pool: ThreadPool(threads: 1, name: "alone"))
            }
            let chunks = [0..<5, 5..<40] + (40..<150).map { $0..<$0 + 1 }
            return try logits(Request(tokens(150, seed: 3), on: stages), chunks: chunks, through: stages)
        }
        let whole = try run([])
        for cuts in [[2], [1, 2, 3, 4]] { #expect(difference(try run(cuts), whole) == 0) }
    }

    @Test(arguments: [Precision.bf16, .int8]) func chunksAndStagesMakeNoDifference(precision: Precision) throws {
        let checkpoint = try SmallModel.checkpoint()
        func stages(_ cuts: [Int]) throws -> [Stage] {
            let bounds = [0] + cuts + [5]
            return try zip(bounds, bounds.dropFirst()).map {
                try Stage(
                    checkpoint: checkpoint, layers: LayerSpan($0..<$1), precision: precision,
                    pool: ThreadPool(threads: 2, name: "cut"))
            }
        }
        let request = tokens(90, seed: 1)
        let whole = try stages([])
        let expected = try logits(Request(request, on: whole), chunks: [0..<90], through: whole)
        let cut = try stages([2, 3])
        let actual = try logits(Request(request, on: cut), chunks: [0..<50, 50..<51, 51..<90], through: cut)
        #expect(difference(actual, expected) < (precision == .int8 || Self.roundsActivations ? 0.3 : 0.05))
        let best = zip(actual, expected).filter { $0.firstIndex(of: $0.max() ?? 0) == $1.firstIndex(of: $1.max() ?? 0) }
        #expect(best.count >= 85)
    }
}
