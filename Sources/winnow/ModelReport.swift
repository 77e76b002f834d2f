import Checkpoint
import Compute
import Foundation
import Layers
import OutsideText
import Tokenizer
import Transformer

/// What `winnow model inspect` tells. Fields that do not apply are absent.
struct ModelReport: Encodable {
    var path: String
    var format: String
    var architecture: String
    var name: String?
    var layers: Int?
    var hiddenSize: Int?
    var feedForwardSize: Int?
    var heads: Int?
    var kvHeads: Int?
    var headDim: Int?
    var vocabularySize: Int?
    var contextLength: Int?
    var ropeTheta: Double?
    var ropeScaling: String?
    /// Tokens that the layers with a sliding window see, and how many layers those are.
    var slidingWindow: Int?
    var slidingWindowLayers: Int?
    var tiedEmbeddings: Bool?
    var parameters: Int
    var elementTypes: [String]
    var bytes: Int
    var files: Int
    var kvBytesPerToken: Int?
    var tokenizer: TokenizerReport
    var bosToken: Int?
    var eosTokens: [Int]
    var synthetic: Bool
    var fingerprint: String?
    /// What in the files is left out of account or taken in one of two ways.
    var notes: [String]
    /// The layers that the directory holds, as in `0-4` or `0-7a`, if it holds a part of a model; `none`: no weights.
    var partLayers: String?
    /// What multiplies on this host in the default number format.
    var hostKernels = Precision.automatic.kernel
    /// The instruction set in use on this host.
    var hostCPULevel = CPULevel.inUse.rawValue

    /// What is known about the tokenizer beside the model.
    struct TokenizerReport: Encodable {
        var kind: String?
        var tokens: Int?
        var chatTemplate: String?
        var fingerprint: String?
        var problem: String?
    }

    /// Opens and checks a model directory or a GGUF file.
    init(path: String) throws {
        let checkpoint = try Checkpoint(path: path)
        let shape = checkpoint.configuration
        self.path = path
        architecture = shape.family.rawValue
        layers = shape.layerCount
        hiddenSize = shape.hiddenSize
        feedForwardSize = shape.feedForwardSize
        heads = shape.headCount
        kvHeads = shape.kvHeadCount
        headDim = shape.headDim
        vocabularySize = shape.vocabularySize
        contextLength = shape.contextLength
        ropeTheta = shape.ropeTheta
        ropeScaling =
            switch shape.ropeScaling {
            case nil: nil
            case .linear(let factor): "linear x\(factor)"
            case .factors: "by a factor for each frequency"
            case .llama3(let factor, _, _, _): "llama3 x\(factor)"
            }
        slidingWindow = shape.slidingWindow?.size
        slidingWindowLayers = shape.slidingWindow?.layers.count
        tiedEmbeddings = shape.tiedEmbeddings
        parameters = checkpoint.parameterCount
        elementTypes = checkpoint.elementTypes
        bytes = checkpoint.byteCount
        files = checkpoint.files.count
        kvBytesPerToken = Stage.cacheBytes(
            configuration: shape, layers: shape.allLayers, precision: .automatic, capacity: 1)
        bosToken = shape.bosToken.map { Int($0) }
        notes = checkpoint.notes
        partLayers = checkpoint.part?.layers.description
        synthetic = shape.isSynthetic
        fingerprint = try checkpoint.fingerprint().description
        let loaded: Result<Tokenizer, TokenizerError>
        if GGUFFile.isFile(path) {
            let file = try GGUFParts(path: path).first
            format = "GGUF version \(file.version)"
            name = file.metadata["general.name"]?.string
            loaded = Result { () throws(TokenizerError) in try Tokenizer(gguf: file) }
            tokenizer = TokenizerReport(loaded, of: file)
        } else {
            format = "safetensors"
            loaded = Result { () throws(TokenizerError) in try Tokenizer(directory: path) }
            tokenizer = TokenizerReport(loaded, directory: path)
        }
        eosTokens = ((try? loaded.get())?.endTokens(of: shape) ?? shape.eosTokens).map { Int($0) }.sorted()
    }

    /// One JSON object, keys in snake case.
    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    /// A table of a dozen lines.
    func text() -> String {
        func list(_ parts: String?...) -> String {
            parts.compactMap(\.self).filter { !$0.isEmpty }.joined(separator: ", ")
        }
        let rows: [(String, String)] = [
            ("model", list(path, name)),
            (
                "shape",
                list(
                    architecture, layers.map { "\($0) layers" }, hiddenSize.map { "hidden \($0)" },
                    feedForwardSize.map { "feed-forward \($0)" }, heads.map { "\($0) heads" },
                    kvHeads.map { "\($0) KV heads" }, headDim.map { "head size \($0)" })
            ),
            (
                "text",
                list(
                    vocabularySize.map { "vocabulary \($0)" }, contextLength.map { "context \($0)" },
                    ropeTheta.map { "RoPE base \($0.formatted())" }, ropeScaling.map { "scaled \($0)" },
                    slidingWindow.map { "window \($0) in \(slidingWindowLayers ?? 0) layers" },
                    tiedEmbeddings.map { $0 ? "head tied to the embedding" : "head of its own" })
            ),
            (
                "weights",
                list(
                    "\(parameters.formatted()) parameters", elementTypes.joined(separator: " + "), Self.size(bytes),
                    "\(files) \(files == 1 ? "file" : "files")", format)
            ),
            (
                "part",
                partLayers.map { layers in
                    layers == LayerSpan.none.description
                        ? "no weights: for a coordinator" : "layers \(layers) of the model"
                } ?? ""
            ),
            ("KV cache", kvBytesPerToken.map { "\(Self.size($0)) per token" } ?? ""),
            ("tokenizer", tokenizer.text),
            ("begin, end", "\(bosToken.map(String.init) ?? "none"), \(eosTokens.isEmpty ? "none" : "\(eosTokens)")"),
            ("synthetic", synthetic ? "yes: random weights, its text means nothing" : "no"),
            ("fingerprint", fingerprint ?? ""), ("note", notes.joined(separator: "; ").shown(upTo: 4000)),
            (
                "this host",
                ["\(hostKernels), \(hostCPULevel)", Precision.automatic.kernelProblem].compactMap(\.self)
                    .joined(separator: "; ")
            ),
        ]
        return rows.filter { !$0.1.isEmpty }
            .map { name, value in name.padding(toLength: 13, withPad: " ", startingAt: 0) + value }
            .joined(separator: "\n")
    }

    /// Bytes in binary units: `1.5 GiB`.
    static func size(_ bytes: Int) -> String {
        var value = Double(bytes)
        var unit = 0
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        while value >= 1024, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return "\(unit == 0 ? "\(bytes)" : String(format: "%.1f", value)) \(units[unit])"
    }
}

extension ModelReport.TokenizerReport {
    /// Tells of the tokenizer of a model directory; what is wrong with it becomes part of the report.
    init(_ loaded: Result<Tokenizer, TokenizerError>, directory: String) {
        // Byte-level vocabularies name their decoder, the others fall back to tokens for single bytes.
        let file = try? MappedFile(path: directory + "/tokenizer.json")
        let kind = file?.withBytes { bytes in
            guard let start = bytes.baseAddress else { return "SentencePiece BPE" }
            // Mapped, not copied: nobody has said how long the file is.
            let text = Data(
                bytesNoCopy: UnsafeMutableRawPointer(mutating: start), count: bytes.count, deallocator: .none)
            return text.range(of: Data("\"ByteLevel\"".utf8)) != nil ? "byte-level BPE" : "SentencePiece BPE"
        }
        self.init(loaded, kind: kind)
    }

    /// Tells of the tokenizer of a GGUF file.
    init(_ loaded: Result<Tokenizer, TokenizerError>, of file: GGUFFile) {
        let kind =
            switch file.metadata["tokenizer.ggml.model"]?.string {
            case "gpt2": "byte-level BPE"
            case "llama": "SentencePiece BPE"
            case let other: other
            }
        self.init(loaded, kind: kind)
    }

    private init(_ loaded: Result<Tokenizer, TokenizerError>, kind: String?) {
        self.kind = kind
        switch loaded {
        case .success(let tokenizer):
            tokens = tokenizer.vocabularySize
            fingerprint = tokenizer.fingerprint
            switch tokenizer.chatTemplate {
            case .success(let template): chatTemplate = template?.names.joined(separator: ", ")
            case .failure(let error): chatTemplate = "cannot be used: \(error)"
            }
        case .failure(let error):
            problem = "\(error)"
        }
    }

    /// One line.
    fileprivate var text: String {
        if let problem { return [kind, "cannot be used: \(problem)"].compactMap(\.self).joined(separator: ", ") }
        return "\(kind ?? "unknown kind"), \(tokens ?? 0) tokens, chat template \(chatTemplate ?? "none")"
    }
}
