import OutsideText
import Transformer
import Wire

extension MicroBatchMessage {
    /// A micro-batch as stage 0 gets it.
    init(_ microBatch: Scheduler.MicroBatch) {
        self.init()
        id = microBatch.id
        segments = microBatch.parts.map { part in
            var segment = SegmentMessage()
            segment.request = part.request
            segment.positions = part.positions.map(UInt32.init)
            segment.tokens = part.tokens.map(UInt32.init)
            segment.sample = part.sample
            segment.step = UInt32(part.step)
            segment.targets = part.targets.map(UInt32.init)
            if let opening = part.opening {
                segment.opening.kvRows = UInt32(opening.kvRows)
                segment.opening.sampling = SamplingMessage(opening.sampling)
                segment.opening.topTargets = UInt32(clamping: opening.topTargets)
            }
            return segment
        }
    }
}

extension SamplingMessage {
    init(_ parameters: SamplingParameters) {
        self.init()
        temperature = parameters.temperature
        topK = UInt32(clamping: parameters.topK)
        topP = parameters.topP
        minP = parameters.minP
        seed = parameters.seed
        if let count = parameters.topLogProbabilities { topLogProbabilities = UInt32(clamping: count) }
    }
}

extension SampledToken {
    /// - Throws: `MessageError` when a token lies outside the vocabulary or the alternatives don't pair up.
    init(_ sample: SampleMessage, vocabularySize: Int) throws(MessageError) {
        guard sample.token < vocabularySize, sample.topTokens.allSatisfy({ $0 < vocabularySize }) else {
            throw MessageError("outcome.samples.token", "outside the vocabulary of \(vocabularySize)")
        }
        guard sample.topTokens.count == sample.topLogProbabilities.count else {
            throw MessageError("outcome.samples.top_tokens", "as many as log-probabilities expected")
        }
        self.init(
            token: Int32(sample.token), logProbability: sample.logProbability,
            top: zip(sample.topTokens, sample.topLogProbabilities).map {
                TokenLogProbability(token: Int32($0), logProbability: $1)
            })
    }
}

extension Assignment {
    /// - Parameter next: the data endpoint of the next stage, or of the coordinator for the last one.
    init(
        stage: Int, of stageCount: Int, layers: Range<Int>, next: String, maxRows: Int, maxInFlight: Int, kvRows: Int
    ) {
        self.init()
        self.stage = UInt32(stage)
        self.stageCount = UInt32(stageCount)
        layerFirst = UInt32(layers.lowerBound)
        layerEnd = UInt32(layers.upperBound)
        nextEndpoint = next
        self.maxRows = UInt32(maxRows)
        self.maxInFlight = UInt32(maxInFlight)
        self.kvRows = UInt64(kvRows)
    }
}

extension Registry.Introduction {
    /// - Throws: `MessageError` naming the field that makes no sense.
    init(_ hello: Hello) throws(MessageError) {
        guard hello.fingerprint.count == 32 else {
            throw MessageError("hello.fingerprint", "expected 32 bytes, found \(hello.fingerprint.count)")
        }
        guard let endpoint = try? Endpoint(hello.dataEndpoint), endpoint.isConnectable else {
            throw MessageError(
                "hello.data_endpoint", "nobody can connect to \"\(hello.dataEndpoint.shown(upTo: 200))\"")
        }
        guard hello.layerFirst <= hello.layerEnd, hello.layerEnd <= 1 << 20 else {
            throw MessageError("hello.layer_end", "layers \(hello.layerFirst)..<\(hello.layerEnd) are no range")
        }
        // Name and model are repeated in logs and to other processes.
        self.init(
            name: hello.name.shown(upTo: 100), fingerprint: Array(hello.fingerprint),
            model: hello.model.shown(upTo: 200), layerCount: Int(hello.layerCount),
            dataEndpoint: endpoint.description,
            wish: hello.layerFirst == hello.layerEnd ? nil : Int(hello.layerFirst)..<Int(hello.layerEnd),
            kvRows: Int(clamping: hello.kvRows), threads: Int(hello.threads))
    }
}
