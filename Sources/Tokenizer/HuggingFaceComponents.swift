// The components of a tokenizer.json around its model: normalizer, pre-tokenizer, post-processor.

internal import Checkpoint

extension JSONFile {
    /// The normalizer as rewritings.
    func normalizer() throws(TokenizerError) -> [Rewrite] {
        guard let value = root["normalizer"] else { return [] }
        return try normalizer(value, at: "normalizer")
    }

    /// Refuses rewritings that would make a great text of a small one.
    func checkGrowth(of rewrites: [Rewrite], at place: String, limit: Int) throws(TokenizerError) {
        guard rewrites.growth <= limit else {
            throw error(place, "may make \(rewrites.growth) bytes of one, at most \(limit) are accepted")
        }
    }

    private func normalizer(_ value: JSON, at place: String) throws(TokenizerError) -> [Rewrite] {
        switch try type(of: value, at: place) {
        case "NFC": return [.nfc]
        case "Prepend":
            return [.prepend(try require("prepend", of: value, at: place, "a string", \.bytes))]
        case "Replace": return [try normalizingReplacement(value, at: place)]
        case "Sequence":
            var rewrites: [Rewrite] = []
            for (index, part) in try parts("normalizers", of: value, at: place).enumerated() {
                // A Sequence inside a Sequence would nest without end in a hostile file.
                guard part["normalizers"] == nil else {
                    throw unsupported("\(place).normalizers[\(index)]", "a nested Sequence", supported: "one level")
                }
                rewrites += try normalizer(part, at: "\(place).normalizers[\(index)]")
            }
            return rewrites
        case let other: throw unsupported(place, other, supported: "NFC, Prepend, Replace, Sequence")
        }
    }

    /// A Replace of a string or of what matches a pattern, as normalizers have it.
    private func normalizingReplacement(_ value: JSON, at place: String) throws(TokenizerError) -> Rewrite {
        guard let regex = value["pattern"]?["Regex"]?.text else { return try replacement(value, at: place) }
        return .replaceMatches(
            pattern: try pattern(regex, at: "\(place).pattern"),
            content: try require("content", of: value, at: place, "a string", \.bytes))
    }

    /// A Replace of one string by another, as normalizers and decoders have it.
    func replacement(_ value: JSON, at place: String) throws(TokenizerError) -> Rewrite {
        guard let pattern = value["pattern"]?["String"]?.bytes else {
            throw unsupported("\(place).pattern", "a pattern other than {\"String\": ...}", supported: "String")
        }
        guard (1...TokenizerLimits.patternBytes).contains(pattern.count) else {
            throw error(
                "\(place).pattern", "\(pattern.count) bytes, 1 to \(TokenizerLimits.patternBytes) are accepted")
        }
        return .replace(pattern: pattern, content: try require("content", of: value, at: place, "a string", \.bytes))
    }

    /// The pre-tokenizer, and whether it maps bytes to printable characters.
    func preTokenizer() throws(TokenizerError) -> (preTokenizer: PreTokenizer, isByteLevel: Bool) {
        var result = PreTokenizer()
        var isByteLevel = false
        guard let value = root["pre_tokenizer"] else { return (result, isByteLevel) }
        let isSequence = try type(of: value, at: "pre_tokenizer") == "Sequence"
        let list = isSequence ? try parts("pretokenizers", of: value, at: "pre_tokenizer") : [value]
        for (index, part) in list.enumerated() {
            let place = isSequence ? "pre_tokenizer.pretokenizers[\(index)]" : "pre_tokenizer"
            guard !isByteLevel else {
                throw unsupported(place, "a pre-tokenizer after ByteLevel", supported: "ByteLevel as the last one")
            }
            switch try type(of: part, at: place) {
            case "Split": result.patterns.append(try split(part, at: place))
            case "Digits":
                let isSingle = try flag("individual_digits", of: part, at: place, default: false)
                result.patterns.append(try pattern(isSingle ? #"\p{N}"# : #"\p{N}+"#, at: place))
            case "ByteLevel":
                isByteLevel = true
                if try flag("add_prefix_space", of: part, at: place, default: true) {
                    guard index == 0 else {
                        throw unsupported(
                            "\(place).add_prefix_space", "true after another pre-tokenizer", supported: "false there")
                    }
                    result.rewrites.append(.leadingSpace)
                }
                if try flag("use_regex", of: part, at: place, default: true) {
                    result.patterns.append(try pattern(SplitPattern.gpt2, at: place))
                }
            case "Metaspace":
                guard list.count == 1 else {
                    throw unsupported(place, "Metaspace beside another pre-tokenizer", supported: "Metaspace alone")
                }
                try addMetaspace(part, at: place, to: &result)
            case let other:
                throw unsupported(
                    place, other, supported: "ByteLevel, Split (Isolated), Digits, Metaspace, Sequence of these")
            }
        }
        return (result, isByteLevel)
    }

    private func pattern(_ text: String, at place: String) throws(TokenizerError) -> SplitPattern {
        do throws(SplitPatternError) {
            return try SplitPattern(text)
        } catch {
            throw self.error(place, "the pattern does not compile: \(error.message)")
        }
    }

    private func split(_ value: JSON, at place: String) throws(TokenizerError) -> SplitPattern {
        let behavior = try require("behavior", of: value, at: place, "a string", \.text)
        guard behavior == "Isolated" else { throw unsupported("\(place).behavior", behavior, supported: "Isolated") }
        guard try !flag("invert", of: value, at: place, default: false) else {
            throw unsupported("\(place).invert", "true", supported: "false")
        }
        if let regex = value["pattern"]?["Regex"]?.text { return try pattern(regex, at: "\(place).pattern") }
        guard let text = value["pattern"]?["String"]?.text, !text.isEmpty else {
            throw error("\(place).pattern", "expected {\"Regex\": ...} or {\"String\": ...}")
        }
        return try pattern(SplitPattern.quoted(text), at: "\(place).pattern")
    }

    private func addMetaspace(_ value: JSON, at place: String, to result: inout PreTokenizer) throws(TokenizerError) {
        let mark = try metaspaceMark(value, at: place)
        result.rewrites.append(.metaspace(replacement: mark, prepend: try prependScheme(value, at: place)))
        if try flag("split", of: value, at: place, default: true) {
            // Each mark goes with the text after it; marks without such text stand alone.
            let text = SplitPattern.quoted(String(decoding: mark, as: UTF8.self))
            result.patterns.append(try pattern("\(text)?[^\(text)]+|\(text)", at: place))
        }
    }

    /// The character that Metaspace writes for a space.
    func metaspaceMark(_ value: JSON, at place: String) throws(TokenizerError) -> [UInt8] {
        let mark = try optional("replacement", of: value, at: place, "a string", \.text) ?? "\u{2581}"
        guard mark.unicodeScalars.count == 1 else {
            throw error("\(place).replacement", "expected one character, found \"\(mark)\"")
        }
        return Array(mark.utf8)
    }

    /// When Metaspace puts its mark in front; files from before 2024 have `add_prefix_space` instead.
    func prependScheme(_ value: JSON, at place: String) throws(TokenizerError) -> Rewrite.PrependScheme {
        switch try optional("prepend_scheme", of: value, at: place, "a string", \.text) {
        case "always": return .always
        case "first": return .first
        case "never": return .never
        case nil: return try flag("add_prefix_space", of: value, at: place, default: true) ? .always : .never
        case let other?:
            throw unsupported("\(place).prepend_scheme", other, supported: "always, first, never")
        }
    }

    /// The ids put before and after a text.
    func postProcessor(
        _ vocabulary: VocabularyBuilder
    ) throws(TokenizerError) -> (prefix: [Int32], suffix: [Int32]) {
        guard let value = root["post_processor"] else { return ([], []) }
        let isSequence = try type(of: value, at: "post_processor") == "Sequence"
        let list = isSequence ? try parts("processors", of: value, at: "post_processor") : [value]
        var prefix: [Int32] = []
        var suffix: [Int32] = []
        for (index, part) in list.enumerated() {
            let place = isSequence ? "post_processor.processors[\(index)]" : "post_processor"
            switch try type(of: part, at: place) {
            case "ByteLevel": continue  // moves offsets only
            case "TemplateProcessing":
                let (before, after) = try template(part, at: place, vocabulary)
                prefix = before + prefix
                suffix += after
            case let other:
                throw unsupported(place, other, supported: "TemplateProcessing, ByteLevel, Sequence of these")
            }
        }
        guard prefix.count + suffix.count <= TokenizerLimits.surroundingTokens else {
            throw error(
                "post_processor",
                "puts \(prefix.count + suffix.count) tokens around every text, at most "
                    + "\(TokenizerLimits.surroundingTokens) are accepted")
        }
        return (prefix, suffix)
    }

    private func template(
        _ value: JSON, at place: String, _ vocabulary: VocabularyBuilder
    ) throws(TokenizerError) -> (before: [Int32], after: [Int32]) {
        var before: [Int32] = []
        var after: [Int32] = []
        var isAfter = false
        for (index, part) in try parts("single", of: value, at: place).enumerated() {
            let here = "\(place).single[\(index)]"
            if part["Sequence"] != nil {
                guard !isAfter else { throw error(here, "the text occurs twice") }
                isAfter = true
            } else if let name = part["SpecialToken"]?["id"]?.text {
                guard let ids = value["special_tokens"]?[name]?["ids"]?.array, ids.count <= 32 else {
                    throw error(here, "\"\(name)\" has no ids in special_tokens")
                }
                for id in ids {
                    guard let id = id.integer else { throw error("\(place).special_tokens", "expected integer ids") }
                    let known = try vocabulary.existing(id, place: "\(place).special_tokens \"\(name)\"")
                    if isAfter { after.append(known) } else { before.append(known) }
                }
            } else {
                throw error(here, "expected SpecialToken or Sequence")
            }
        }
        guard isAfter else { throw error("\(place).single", "the text itself does not occur") }
        return (before, after)
    }
}
