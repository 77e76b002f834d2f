// Changes made to text before it is split: normalizers, and the rewriting half of pre-tokenizers.

internal import Foundation

/// One rewriting of a stretch of text, given and returned as UTF-8.
enum Rewrite: Sendable, Equatable {
    /// When a `Metaspace` puts its replacement in front.
    enum PrependScheme: Sendable, Equatable { case always, first, never }

    /// Unicode normalization form C.
    case nfc
    /// Puts the text in front of anything that is not empty.
    case prepend([UInt8])
    /// Replaces every occurrence; `pattern` is not empty.
    case replace(pattern: [UInt8], content: [UInt8])
    /// Replaces every match of a pattern.
    case replaceMatches(pattern: SplitPattern, content: [UInt8])
    /// Replaces spaces and puts the replacement in front unless it is there.
    case metaspace(replacement: [UInt8], prepend: PrependScheme)
    /// Puts a space in front unless there is one.
    case leadingSpace

    /// Applies the rewriting. `isFirst` says that nothing precedes `text` in the whole input.
    func apply(to text: inout [UInt8], isFirst: Bool) {
        guard !text.isEmpty else { return }
        switch self {
        case .nfc:
            // Every character below U+0300 (lead byte 0xCC) is in form C and composes with none of its like.
            guard text.contains(where: { $0 >= 0xCC }) else { return }
            text = Array(String(decoding: text, as: UTF8.self).precomposedStringWithCanonicalMapping.utf8)
        case .prepend(let prefix):
            text.insert(contentsOf: prefix, at: 0)
        case .replace(let pattern, let content):
            text = Self.replacing(pattern, with: content, in: text)
        case .replaceMatches(let pattern, let content):
            text = Self.replacing(pattern, with: content, in: text)
        case .metaspace(let replacement, let scheme):
            text = Self.replacing([0x20], with: replacement, in: text)
            let wanted = scheme == .always || (scheme == .first && isFirst)
            if wanted, !text.starts(with: replacement) { text.insert(contentsOf: replacement, at: 0) }
        case .leadingSpace:
            if text.first != 0x20 { text.insert(0x20, at: 0) }
        }
    }

    /// The most bytes that it makes of one, on the whole of a text that has any.
    var growth: Int {
        switch self {
        case .nfc: 3
        case .prepend(let prefix): 1 + prefix.count
        case .replace(let pattern, let content): max(1, (content.count + pattern.count - 1) / pattern.count)
        // It may match between any two bytes, and before and behind them all.
        case .replaceMatches(_, let content): 1 + 2 * content.count
        case .metaspace(let replacement, _): 1 + replacement.count
        case .leadingSpace: 2
        }
    }

    /// What the rewriting does away from the beginning of a text.
    var inner: Rewrite? {
        switch self {
        case .nfc, .replace, .replaceMatches: self
        case .metaspace(let replacement, _): .replace(pattern: [0x20], content: replacement)
        case .prepend, .leadingSpace: nil
        }
    }

    /// `text` with every occurrence of `pattern`, from the left, replaced.
    static func replacing(_ pattern: [UInt8], with content: [UInt8], in text: [UInt8]) -> [UInt8] {
        guard let first = pattern.first, text.contains(first) else { return text }
        var result: [UInt8] = []
        result.reserveCapacity(text.count + text.count / 4)
        var offset = 0
        while offset < text.count {
            if text[offset] == first, text[offset...].starts(with: pattern) {
                result.append(contentsOf: content)
                offset += pattern.count
            } else {
                result.append(text[offset])
                offset += 1
            }
        }
        return result
    }
}

extension Rewrite {
    private static func replacing(_ pattern: SplitPattern, with content: [UInt8], in text: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var done = 0
        text.withUnsafeBytes { bytes in
            pattern.forEachMatch(in: bytes) { match in
                result += bytes[done..<match.lowerBound]
                result += content
                done = match.upperBound
            }
            result += bytes[done...]
        }
        return result
    }
}

extension [Rewrite] {
    /// The most bytes that all of them in order make of one.
    var growth: Int {
        reduce(1) { growth, rewrite in
            let (product, overflow) = growth.multipliedReportingOverflow(by: rewrite.growth)
            return overflow ? .max : product
        }
    }

    /// `text` after all rewritings in order.
    func applied(to text: [UInt8], isFirst: Bool) -> [UInt8] {
        var text = text
        for rewrite in self { rewrite.apply(to: &text, isFirst: isFirst) }
        return text
    }

    /// Where ascending `offsets` into `text` lie after rewriting; takes time linear in `text`.
    ///
    /// The stretches between offsets are rewritten by themselves, so an offset inside something that a rewriting joins
    /// may come out a few bytes away.
    func rewrittenOffsets(_ offsets: [Int], in text: [UInt8], isFirst: Bool) -> [Int] {
        guard !isEmpty else { return offsets }
        let inner = compactMap(\.inner)
        var from = 0
        var place = 0
        return offsets.map { offset in
            let stretch = [UInt8](text[from..<offset])
            let rewritten =
                from == 0 ? applied(to: stretch, isFirst: isFirst) : inner.applied(to: stretch, isFirst: false)
            place += rewritten.count
            from = offset
            return place
        }
    }
}
