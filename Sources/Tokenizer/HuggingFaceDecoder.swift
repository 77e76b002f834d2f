// The decoder of a tokenizer.json: from the written form of tokens to the bytes they stand for.

internal import Checkpoint

/// How a token's text becomes bytes.
struct TokenDecoding {
    var isByteLevel = false
    var replacements: [Rewrite] = []
    /// `<0x0A>` stands for a byte.
    var hasByteFallback = false
    var leadingSpace = TokenText.LeadingSpace.keep

    /// The bytes that the token written `text` stands for.
    func bytes(of text: [UInt8], isAdded: Bool) -> [UInt8] {
        if isByteLevel { return isAdded ? text : ByteLevelAlphabet.decode(text) ?? text }
        if hasByteFallback, let byte = VocabularyBuilder.byte(of: text) { return [byte] }
        return replacements.applied(to: text, isFirst: false)
    }

    /// The tokens that stand for single bytes.
    func byteTokens(in vocabulary: VocabularyBuilder) -> Set<Int32> {
        guard !isByteLevel, hasByteFallback else { return [] }
        return Set(
            vocabulary.texts.indices.filter { vocabulary.texts[$0].flatMap(VocabularyBuilder.byte) != nil }
                .map { Int32($0) })
    }
}

extension JSONFile {
    /// The decoder; one that does not fit the pre-tokenizer is refused.
    func decoder(isByteLevel: Bool) throws(TokenizerError) -> TokenDecoding {
        var decoding = TokenDecoding()
        guard let value = root["decoder"] else {
            throw unsupported(
                "decoder", "null", supported: "ByteLevel, Metaspace, ByteFallback with Replace, Fuse and Strip")
        }
        let isSequence = try type(of: value, at: "decoder") == "Sequence"
        let list = isSequence ? try parts("decoders", of: value, at: "decoder") : [value]
        var isFused = false
        for (index, part) in list.enumerated() {
            let place = isSequence ? "decoder.decoders[\(index)]" : "decoder"
            switch try type(of: part, at: place) {
            case "ByteLevel": decoding.isByteLevel = true
            case "Replace": decoding.replacements.append(try replacement(part, at: place))
            case "ByteFallback": decoding.hasByteFallback = true
            case "Fuse": isFused = true
            case "Metaspace":
                decoding.replacements.append(.replace(pattern: try metaspaceMark(part, at: place), content: [0x20]))
                if try prependScheme(part, at: place) != .never { decoding.leadingSpace = .dropInFirstToken }
            case "Strip":
                guard isFused else { throw unsupported(place, "Strip before Fuse", supported: "Strip after Fuse") }
                decoding.leadingSpace = .drop(try strippedSpaces(part, at: place))
            case let other:
                throw unsupported(
                    place, other,
                    supported: "ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip, Sequence of these")
            }
        }
        try checkGrowth(of: decoding.replacements, at: "decoder", limit: TokenizerLimits.decodedGrowth)
        guard decoding.isByteLevel == isByteLevel else {
            let (a, b) = isByteLevel ? ("pre-tokenizer", "decoder") : ("decoder", "pre-tokenizer")
            throw error("decoder", "the \(a) is ByteLevel, the \(b) is not", fix: "convert the tokenizer again")
        }
        return decoding
    }

    private func strippedSpaces(_ value: JSON, at place: String) throws(TokenizerError) -> Int {
        guard value["content"]?.text == " ", (value["stop"]?.integer ?? 0) == 0, let start = value["start"]?.integer,
            (0...1024).contains(start)
        else {
            throw unsupported(place, "a Strip of anything but leading spaces", supported: "content \" \", stop 0")
        }
        return start
    }
}
