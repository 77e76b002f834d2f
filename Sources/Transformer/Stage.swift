// Consecutive layers of a model: what one worker computes.

public import Checkpoint
public import Compute
public import Layers

/// Consecutive layers of a model with their weights in memory, the first and last of which may be there in part; the first
/// stage also embeds, the last also gives logits.
///
/// One thread at a time calls a stage or touches its caches; inside a call, the pool's threads share the work.
public final class Stage: @unchecked Sendable {  // guarded by its caller, as said above
    /// The whole model's shape.
    public let configuration: ModelConfiguration
    /// The layers this stage holds, absolute.
    public let layers: LayerSpan
    /// The number formats it computes in.
    public let precision: Precision

    private let pool: ThreadPool
    private let attention: Attention
    private let frequencies: [Double]
    private let sublayers: [Sublayer]
    /// On the first stage.
    private let embedding: Embedding?
    private let finalNorm: Matrix?
    private let head: Linear?
    private var workspace: Workspace?

    /// Loads the layers' weights and brings them into the layout they are multiplied in; the files' pages are let go.
    ///
    /// - Parameters:
    ///   - checkpoint: the model.
    ///   - layers: not empty; throws if the model does not have them.
    ///   - precision: the number formats to compute in.
    ///   - cache: where weights in 8 bits are kept for the next start, if there are enough of them to be worth it; what of
    ///     them lies there is not read from the model.
    ///   - pool: the threads to load and compute with; stages may share one.
    ///   - progress: told now and then how much of the weights is loaded, 0 to 1; what it throws ends the loading.
    public init(
        checkpoint: Checkpoint, layers: LayerSpan, precision: Precision = .f32, cache: WeightsCache? = nil,
        pool: ThreadPool, progress: (Double) throws(CheckpointError) -> Void = { _ in }
    ) throws(CheckpointError) {
        let configuration = checkpoint.configuration
        guard layers.isWithin(layerCount: configuration.layerCount) else {
            throw CheckpointError(
                path: checkpoint.path, place: "layers \(layers)",
                problem: "the model has layers \(configuration.allLayers)",
                fix: "give a range inside the model that is not empty")
        }
        try checkpoint.checkHeld(layers)
        let layout = TensorLayout(configuration)
        func weights(_ tensors: [TensorLayout.Tensor]) -> Int { tensors.reduce(0) { $0 + $1.rows * $1.columns } }
        let all = weights(layout.tensors(layers: layers))
        // Other formats are as large as the model's files, and rounding to them is quicker than reading.
        let cache = precision == .int8 && all >= cache?.smallest ?? 0 ? cache : nil
        self.configuration = configuration
        self.layers = layers
        self.precision = precision
        self.pool = pool
        attention = Attention(
            heads: configuration.headCount, kvHeads: configuration.kvHeadCount, headDim: configuration.headDim,
            precision: precision)
        frequencies = configuration.rotaryFrequencies
        var sublayers: [Sublayer] = []
        var done = 0
        for index in layers.sublayers {
            sublayers.append(
                try Sublayer(checkpoint: checkpoint, index: index, precision: precision, cache: cache, pool: pool))
            done += weights(layout.sublayer(index))
            try progress(Double(done) / Double(all))
            // Bit by bit, so that the file is never resident beside all that was made of it.
            checkpoint.forgetPages()
        }
        self.sublayers = sublayers
        if configuration.ends(with: layers) {
            finalNorm = try checkpoint.vector(layout.finalNorm)
            // A token is drawn from its logits: eight bits are too few.
            head = try checkpoint.linear(
                [layout.head], precision: precision == .f32 ? .f32 : .bf16, cache: cache, pool: pool)
        } else {
            finalNorm = nil
            head = nil
        }
        if !configuration.begins(with: layers) {
            embedding = nil
        } else if configuration.tiedEmbeddings, let head, head.isReadable {
            // Only then: a first stage without the head would embed otherwise.
            embedding = Embedding(head: head)
        } else {
            embedding = try Embedding(checkpoint: checkpoint, precision: precision, pool: pool)
        }
        checkpoint.forgetPages()
        cache?.writeNotes()
        try progress(1)
    }

    /// Memory of the weights as they are multiplied, embedding and head included, in bytes.
    public var weightBytes: Int {
        sublayers.reduce(0) { $0 + $1.weightBytes } + (embedding?.byteCount ?? 0) + (head?.byteCount ?? 0)
    }

    /// Whether the stage embeds tokens.
    public var isFirst: Bool { embedding != nil }

    /// Whether the stage gives logits.
    public var isLast: Bool { head != nil }

    /// An empty cache for one request, with room for `capacity` rows. Memory that cannot be had ends the process: see
    /// ``reserveCache(capacity:)``.
    public func makeCache(capacity: Int) -> KVCache {
        do {
            return try reserveCache(capacity: capacity)
        } catch {
            preconditionFailure("\(error)")
        }
    }

    /// An empty cache for one request, with room for `capacity` rows.
    ///
    /// - Parameter isSparse: whether rows that look at some keys only (``Segment/sparsity``) are to look at the means of the
    ///   others, which a sixty-fourth of the memory on top holds.
    /// - Throws: if the memory cannot be had.
    public func reserveCache(capacity: Int, isSparse: Bool = false) throws(MemoryError) -> KVCache {
        try KVCache(
            configuration: configuration, layers: layers.attention, precision: precision, capacity: max(capacity, 0),
            isSparse: isSparse)
    }

    /// The bytes a cache of `capacity` rows takes when full.
    public static func cacheBytes(
        configuration: ModelConfiguration, layers: LayerSpan, precision: Precision, capacity: Int
    ) -> Int {
        2 * layers.attention.count * capacity * configuration.kvHeadCount * configuration.headDim
            * precision.cacheValueBytes
    }

    /// Looks up tokens; first stage only.
    ///
    /// - Returns: `[tokens.count, hidden]`.
    /// - Throws: for a token outside the vocabulary, and on another stage.
    public func embed(_ tokens: [Int32]) throws(StageError) -> Matrix {
        guard let embedding else {
            throw StageError(
                code: .wrongStage, operation: "embed",
                problem: "only the stage with layer 0 has the embedding; this one "
                    + "has layers \(layers)")
        }
        if let row = tokens.firstIndex(where: { $0 < 0 || Int($0) >= configuration.vocabularySize }) {
            throw StageError(
                code: .invalidToken, operation: "embed",
                problem: "token \(tokens[row]) in row \(row); the vocabulary has 0..<\(configuration.vocabularySize)")
        }
        return try StageError.ofMemory("embed") { () throws(MemoryError) in try embedding(tokens) }
    }

    /// Passes rows through the stage's layers, in place, and appends their keys and values to the segments' caches.
    ///
    /// A row sees its own cache up to and including itself. Which rows share a call makes no difference to the values of
    /// a row beyond rounding.
    ///
    /// - Parameters:
    ///   - hidden: `[rows, hidden]`, the segments' rows one after the other.
    ///   - segments: the requests' shares, with distinct caches made by this stage; their positions add up to the rows.
    ///   - outputs: the only rows whose result the last stage is asked for, ascending: what the last layer would compute
    ///     for the others is left out, whichever stages hold it, and their rows of `hidden` are not to be used then. Nil:
    ///     all rows.
    ///   - observer: called after each layer's keys and values are in the caches, with the layer's absolute id and the
    ///     rotated queries, `[rows, heads, headDim]`, which must not be used after it returns; if `outputs` are given,
    ///     those of these rows only.
    ///   - progress: called after each half of a layer.
    /// - Throws: if the arguments do not fit each other or the model, or there is no memory for so many rows. Nothing has
    ///   changed then.
    public func forward(
        _ hidden: Matrix, segments: [Segment], outputs: [Int]? = nil,
        observer: ((_ layer: Int, _ queries: UnsafeBufferPointer<Float>) -> Void)? = nil,
        progress: (() -> Void)? = nil
    ) throws(StageError) {
        try check(hidden, segments, outputs)
        guard hidden.rows > 0 else { return }
        let (workspace, angles) = try StageError.ofMemory("forward") {
            () throws(MemoryError) -> (Workspace, RotaryAngles) in
            (
                try self.workspace(rows: hidden.rows),
                try RotaryAngles(positions: segments.flatMap(\.positions), frequencies: frequencies, pool: pool)
            )
        }
        var ranges: [(first: Int, rows: Range<Int>)] = []
        var row = 0
        for segment in segments {
            ranges.append((segment.cache.count, row..<row + segment.positions.count))
            row += segment.positions.count
            segment.cache.append(positions: segment.positions)
        }
        // One window for all layers that have any.
        let visible: [[Int32]]? = configuration.slidingWindow.map { window in
            zip(segments, ranges).map { $0.cache.firstVisible(from: $1.first, window: window.size) }
        }
        for (number, sublayer) in zip(layers.sublayers, sublayers) {
            let layer = number / 2
            let isTrimmed = layer == configuration.layerCount - 1 && outputs != nil
            let wanted = isTrimmed ? outputs : nil
            switch sublayer {
            case .attention(let half):
                let isWindowed = configuration.slidingWindow(layer: layer) != nil
                let shares = zip(segments, ranges).enumerated().map { index, share in
                    share.0.cache.attentionSegment(
                        layer: layer, firstCacheRow: share.1.first, rows: share.1.rows,
                        firstVisible: isWindowed ? visible?[index] : nil,
                        sparsity: isWindowed ? nil : share.0.sparsity, decodedFrom: share.0.decodedFrom)
                }
                half.forward(
                    hidden, outputs: wanted, segments: shares, angles: angles, attention: attention,
                    workspace: workspace, pool: pool
                ) { queries in
                    observe(queries, rows: hidden.rows, outputs: outputs, arePicked: isTrimmed) { observer?(layer, $0) }
                }
            case .feedForward(let half):
                half.forward(
                    hidden, outputs: share(of: number, ranges.map(\.rows), wanted: wanted), workspace: workspace,
                    pool: pool)
            }
            progress?()
        }
    }

    /// The rows that pass a feed-forward here, of those that are wanted; nil: all of them.
    private func share(of sublayer: Int, _ segments: [Range<Int>], wanted: [Int]?) -> [Int]? {
        guard layers.fraction(of: sublayer) < 1 else { return wanted }
        // By request, so that it does not matter who else travels in the micro-batch, or is left out of it.
        let shares = segments.map { rows in
            let share = layers.rows(of: sublayer, count: rows.count)
            return rows.lowerBound + share.lowerBound..<rows.lowerBound + share.upperBound
        }
        guard let wanted else { return Array(shares.joined()) }
        var left = shares[...]
        return wanted.filter { row in
            while let share = left.first, share.upperBound <= row { left.removeFirst() }
            return left.first?.contains(row) ?? false
        }
    }

    /// Shows an observer the queries of the rows it is to see.
    private func observe(
        _ queries: Matrix, rows: Int, outputs: [Int]?, arePicked: Bool, _ body: (UnsafeBufferPointer<Float>) -> Void
    ) {
        guard let outputs, !arePicked else {
            queries.withUnsafeBufferPointer {
                body(UnsafeBufferPointer(rebasing: $0[..<((outputs?.count ?? rows) * queries.columns)]))
            }
            return
        }
        queries.gathered(rows: outputs).withUnsafeBufferPointer { body($0) }
    }

    /// The logits of some rows; last stage only.
    ///
    /// - Parameters:
    ///   - hidden: `[_, hidden]`, as ``forward(_:segments:observer:progress:)`` left it.
    ///   - rows: which rows, in any order.
    /// - Returns: `[rows.count, vocabulary]`.
    /// - Throws: for a row that is not there, and on another stage.
    public func logits(_ hidden: Matrix, rows: [Int]) throws(StageError) -> Matrix {
        guard let finalNorm, let head else {
            throw StageError(
                code: .wrongStage, operation: "logits",
                problem: "only the stage with layer \(configuration.layerCount - 1) has the output head; this one has "
                    + "layers \(layers)")
        }
        try checkWidth(hidden, operation: "logits")
        if let row = rows.first(where: { !(0..<hidden.rows).contains($0) }) {
            throw StageError(
                code: .invalidShape, operation: "logits", problem: "row \(row) of a matrix of \(hidden.rows) rows")
        }
        let (normed, logits, workspace) = try StageError.ofMemory("logits") {
            () throws(MemoryError) -> (Matrix, Matrix, Workspace) in
            (
                try Matrix(rows: rows.count, columns: hidden.columns, for: "activations"),
                try Matrix(rows: rows.count, columns: configuration.vocabularySize, for: "logits"),
                try self.workspace(rows: 0)
            )
        }
        hidden.gather(rows, into: normed)
        Kernels.rmsNorm(
            normed, rows: 0..<rows.count, weight: finalNorm, epsilon: configuration.normEpsilon, into: normed,
            pool: pool)
        head.apply(
            normed, rows: 0..<rows.count, to: logits, from: 0, converted: workspace.converted, pool: pool)
        return logits
    }

    private func check(_ hidden: Matrix, _ segments: [Segment], _ outputs: [Int]?) throws(StageError) {
        try checkWidth(hidden, operation: "forward")
        if let outputs {
            let ascends = zip(outputs, outputs.dropFirst()).allSatisfy { $0 < $1 }
            guard ascends, outputs.allSatisfy({ 0 <= $0 && $0 < hidden.rows }) else {
                throw StageError(
                    code: .invalidShape, operation: "forward",
                    problem: "output rows \(outputs) are not ascending rows of \(hidden.rows)")
            }
        }
        let positions = segments.reduce(0) { $0 + $1.positions.count }
        guard positions == hidden.rows else {
            throw StageError(
                code: .invalidShape, operation: "forward",
                problem: "\(hidden.rows) rows, but the segments have \(positions) positions")
        }
        var seen: Set<ObjectIdentifier> = []
        for (index, segment) in segments.enumerated() {
            func fail(_ code: StageError.Code, _ problem: String) -> StageError {
                StageError(code: code, operation: "forward", problem: "segment \(index): \(problem)")
            }
            let cache = segment.cache
            guard seen.insert(ObjectIdentifier(cache)).inserted else {
                throw fail(.wrongCache, "its cache is another segment's too")
            }
            guard cache.layers == layers.attention, cache.fits(configuration, precision) else {
                throw fail(.wrongCache, "its cache was made by another stage, for layers \(LayerSpan(cache.layers))")
            }
            guard segment.positions.count <= cache.capacity - cache.count else {
                throw fail(
                    .cacheFull,
                    "\(segment.positions.count) rows for a cache that holds \(cache.count) of \(cache.capacity)")
            }
            if let position = segment.positions.first(where: { $0 < 0 || Int($0) >= configuration.contextLength }) {
                throw fail(.invalidPosition, "position \(position); the context is 0..<\(configuration.contextLength)")
            }
        }
    }

    private func checkWidth(_ hidden: Matrix, operation: String) throws(StageError) {
        guard hidden.columns == configuration.hiddenSize else {
            throw StageError(
                code: .invalidShape, operation: operation,
                problem: "rows of \(hidden.columns) values; the model's have \(configuration.hiddenSize)")
        }
    }

    /// The workspace, grown to `rows` if it must be.
    private func workspace(rows: Int) throws(MemoryError) -> Workspace {
        if let workspace, workspace.rows >= rows { return workspace }
        let grown = try Workspace(configuration: configuration, rows: rows)
        workspace = grown
        return grown
    }
}

/// Half of a layer.
private enum Sublayer: Sendable {
    case attention(AttentionSublayer)
    case feedForward(FeedForwardSublayer)

    /// Loads the sub-layer of this number; see ``LayerSpan``.
    init(
        checkpoint: Checkpoint, index: Int, precision: Precision, cache: WeightsCache?, pool: ThreadPool
    ) throws(CheckpointError) {
        self =
            index % 2 == 0
            ? .attention(
                try AttentionSublayer(
                    checkpoint: checkpoint, index: index / 2, precision: precision, cache: cache, pool: pool))
            : .feedForward(
                try FeedForwardSublayer(
                    checkpoint: checkpoint, index: index / 2, precision: precision, cache: cache, pool: pool))
    }

    var weightBytes: Int {
        switch self {
        case .attention(let half): half.weightBytes
        case .feedForward(let half): half.weightBytes
        }
    }
}
