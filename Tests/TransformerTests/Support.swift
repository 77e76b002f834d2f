// Models and logits for the tests of this folder.

import Checkpoint
import Compute
import Foundation
import Layers
import Transformer

/// The fixtures beside this file.
let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures")

/// A directory that is removed with the object.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("winnow-\(UUID())").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// A small random model with grouped heads, made once.
enum SmallModel {
    static let directory: Result<TemporaryDirectory, any Error> = Result {
        let directory = try TemporaryDirectory()
        try SyntheticCheckpoint.write(
            SyntheticCheckpoint.configuration(
                hidden: 64, layers: 5, feedForward: 112, heads: 8, kvHeads: 2, vocabulary: 300, context: 4096),
            precision: .f32, seed: 7, to: directory.path)
        return directory
    }

    static func checkpoint() throws -> Checkpoint { try Checkpoint(path: directory.get().path) }

    /// The model cut into stages before the given layers, on pools of different sizes.
    static func stages(cuts: [Int] = []) throws -> [Stage] { try stages(halfCuts: cuts.map { 2 * $0 }) }

    /// The model cut into stages before the given sub-layers.
    static func stages(halfCuts: [Int]) throws -> [Stage] { try stages(bounds: halfCuts.map { 100 * $0 }) }

    /// The model cut into stages at the given places, as ``LayerSpan`` numbers them.
    static func stages(bounds cuts: [Int], precision: Precision = .f32) throws -> [Stage] {
        let checkpoint = try checkpoint()
        let bounds = [0] + cuts + [200 * checkpoint.configuration.layerCount]
        return try zip(bounds, bounds.dropFirst()).enumerated().map { index, range in
            try Stage(
                checkpoint: checkpoint, layers: LayerSpan(bounds: range.0..<range.1), precision: precision,
                pool: ThreadPool(threads: 1 + index % 3, name: "stage-\(index)"))
        }
    }
}

/// Tokens of 0..<vocabulary that depend on the seed only.
func tokens(_ count: Int, seed: UInt64, vocabulary: Int = 300) -> [Int32] {
    var state = seed
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int32((state >> 33) % UInt64(vocabulary))
    }
}

/// One request's rows on their way through stages.
struct Request {
    var tokens: [Int32]
    var positions: [Int32]
    var caches: [KVCache]

    init(_ tokens: [Int32], positions: [Int32]? = nil, on stages: [Stage]) {
        self.tokens = tokens
        self.positions = positions ?? (0..<Int32(tokens.count)).map { $0 }
        caches = stages.map { $0.makeCache(capacity: tokens.count) }
    }
}

/// Passes rows `rows[i]` of request i through the stages in one call each; returns logits per request and row.
func pass(_ requests: [Request], rows: [Range<Int>], through stages: [Stage]) throws -> [[[Float]]] {
    let hidden = try stages[0].embed(zip(requests, rows).flatMap { $0.tokens[$1] })
    for (index, stage) in stages.enumerated() {
        let segments = zip(requests, rows).map {
            Segment(cache: $0.caches[index], positions: Array($0.positions[$1]))
        }
        try stage.forward(hidden, segments: segments)
    }
    let logits = try stages[stages.count - 1].logits(hidden, rows: Array(0..<hidden.rows))
    let all = values(logits)
    var row = 0
    return rows.map { range in
        defer { row += range.count }
        return Array(all[row..<row + range.count])
    }
}

/// The logits of every row of one request passed in chunks.
func logits(_ request: Request, chunks: [Range<Int>], through stages: [Stage]) throws -> [[Float]] {
    try chunks.flatMap { try pass([request], rows: [$0], through: stages)[0] }
}

/// The rows of a matrix.
func values(_ matrix: Matrix) -> [[Float]] {
    matrix.withUnsafeBufferPointer { all in
        (0..<matrix.rows).map { Array(all[$0 * matrix.columns..<($0 + 1) * matrix.columns]) }
    }
}

/// The largest absolute difference; infinite where the shapes differ or a value is not a number.
func difference(_ a: [[Float]], _ b: [[Float]]) -> Float {
    guard a.map(\.count) == b.map(\.count) else { return .infinity }
    return zip(a.joined(), b.joined()).reduce(0) { worst, pair in
        let gap = abs(pair.0 - pair.1)
        return gap.isNaN ? .infinity : max(worst, gap)
    }
}
