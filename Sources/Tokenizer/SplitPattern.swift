// Splits text into the pieces that byte-pair merges stay within, by a regular expression.

@preconcurrency internal import COniguruma

/// A compiled pattern, run by Oniguruma on UTF-8: the engine and the syntax that Hugging Face's tokenizers use.
///
/// A compiled Oniguruma pattern is only read while it is matched, so threads may share it.
final class SplitPattern: @unchecked Sendable {  // `regex` is set once; matching keeps its state on the stack
    /// The longest pattern accepted, in bytes.
    static let longestPattern = 16_384

    private let regex: OnigRegex
    /// Whether the pattern is ``digitTriples``, which a search from place to place would take quadratic time for.
    private let areTriples: Bool

    private static let isReady: Bool = {
        var encodings: [UnsafeMutablePointer<OnigEncodingType>?] = [utf8]
        return onig_initialize(&encodings, Int32(encodings.count)) == ONIG_NORMAL && UnicodeTables.define()
    }()

    private static var utf8: UnsafeMutablePointer<OnigEncodingType> {
        withUnsafeMutablePointer(to: &OnigEncodingUTF8) { $0 }
    }

    /// Compiles `pattern`; the failure is Oniguruma's own message.
    init(_ pattern: String) throws(SplitPatternError) {
        let bytes = Array(pattern.utf8)
        guard bytes.count <= Self.longestPattern else {
            throw SplitPatternError(message: "\(bytes.count) bytes long, at most \(Self.longestPattern) are accepted")
        }
        guard Self.isReady else { throw SplitPatternError(message: "Oniguruma does not start") }
        var compiled: OnigRegex?
        var info = OnigErrorInfo()
        let code = bytes.withUnsafeBufferPointer { buffer in
            onig_new(
                &compiled, buffer.baseAddress, buffer.baseAddress.map { $0 + buffer.count }, ONIG_OPTION_NONE,
                Self.utf8, OnigDefaultSyntax, &info)
        }
        guard code == ONIG_NORMAL, let compiled else { throw SplitPatternError(message: "Oniguruma error \(code)") }
        regex = compiled
        areTriples = pattern == Self.digitTriples
    }

    deinit {
        onig_free(regex)
    }

    /// Calls `body` with every match and every stretch between matches inside `text`, in order, as offsets into it. A match
    /// of nothing cuts the text where it is.
    ///
    /// Where Oniguruma gives up (its retry limit, against patterns that backtrack without end), the rest of the text
    /// is one piece.
    func forEachPiece(of text: UnsafeRawBufferPointer, _ body: (Range<Int>) -> Void) {
        var done = 0
        forEachMatch(in: text) { match in
            if done < match.lowerBound { body(done..<match.lowerBound) }
            if !match.isEmpty { body(match) }
            done = match.upperBound
        }
        if done < text.count { body(done..<text.count) }
    }

    /// Calls `body` with every match in `text`, as offsets into it, in order. None is empty right behind another.
    func forEachMatch(in text: UnsafeRawBufferPointer, _ body: (Range<Int>) -> Void) {
        if areTriples { return DigitTriples.forEachCut(in: text) { body($0..<$0) } }
        guard let base = text.baseAddress?.assumingMemoryBound(to: OnigUChar.self) else { return }
        let end = base + text.count
        let region = onig_region_new()
        defer { onig_region_free(region, 1) }
        var done = -1
        var start = 0
        while start <= text.count {
            let found = onig_search(regex, base, end, base + start, end, region, ONIG_OPTION_NONE)
            guard found >= 0, let region, let matchEnd = region.pointee.end else { break }
            let match = Int(found)..<Int(matchEnd[0])
            guard match.isEmpty else {
                body(match)
                done = match.upperBound
                start = done
                continue
            }
            if match.lowerBound > done { body(match) }
            done = match.lowerBound
            guard done < text.count else { break }
            start = Self.nextCharacter(in: text, after: done)
        }
    }

    private static func nextCharacter(in text: UnsafeRawBufferPointer, after offset: Int) -> Int {
        var next = offset + 1
        while next < text.count, text[next] & 0xC0 == 0x80 { next += 1 }
        return next
    }
}

extension SplitPattern: Equatable {
    /// A compiled pattern is equal to itself only.
    static func == (a: SplitPattern, b: SplitPattern) -> Bool { a === b }
}

/// Why a pattern does not compile.
struct SplitPatternError: Error {
    var message: String
}

extension SplitPattern {
    /// Cuts digits into groups of three, from the right.
    static let digitTriples = #"(?=(\d{3})+(?!\d))"#
    /// English contractions in any case.
    static let contractions = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)"#
    /// GPT-2's pattern, which a `ByteLevel` pre-tokenizer applies by itself.
    static let gpt2 = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    /// Llama 3's pattern.
    static let llama3 =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"#
        + #"|\s+(?!\S)|\s+"#
    /// Qwen 2's pattern: Llama 3's, with every digit by itself.
    static let qwen2 =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"#
        + #"|\s+(?!\S)|\s+"#

    /// A pattern that matches exactly `text`.
    static func quoted(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "") { pattern, scalar in
            if scalar.isASCII, !scalar.properties.isAlphabetic, !("0"..."9").contains(scalar) { pattern += "\\" }
            pattern.unicodeScalars.append(scalar)
        }
    }
}
