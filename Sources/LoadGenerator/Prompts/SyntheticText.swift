// Text from a seed: as long as wanted, English-like, and never quite the same twice.

/// An endless text that its seed gives in full: asking for more of it leaves the beginning as it was.
///
/// The words are those of a book in the order of a chain of first order: after a word comes what follows it at some
/// place in the book. So the text has the word lengths and the letters of English, and two seeds share no beginning
/// of more than a few words, which a prefix cache would find.
public struct SyntheticText: Sendable, Equatable {
    /// What the text depends on.
    public let seed: UInt64

    /// Makes the text of a seed; any value is a good seed.
    public init(seed: UInt64) {
        self.seed = seed
    }

    /// The beginning of the text. ASCII, words with a space between them.
    public func text(words: Int) -> String {
        var bytes: [UInt8] = []
        var walk = WordWalk(seed: seed)
        for _ in 0..<max(words, 0) { walk.appendWord(to: &bytes) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The beginning of the text, to the end of a word that is nearest to a number of characters; at least one word.
    public func text(characters: Int) -> String {
        var bytes: [UInt8] = []
        append(characters: characters, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Adds the beginning of the text to other text.
    ///
    /// Which words are added does not depend on what is there already.
    /// - Parameter characters: about how many to add, the space before the first word not counted.
    func append(characters: Int, to bytes: inout [UInt8]) {
        bytes.reserveCapacity(bytes.count + max(characters, 0) + 32)
        let target = bytes.count + characters - (bytes.isEmpty ? 0 : 1)
        var walk = WordWalk(seed: seed)
        walk.appendWord(to: &bytes)
        while bytes.count < target {
            let before = bytes.count
            walk.appendWord(to: &bytes)
            if bytes.count - target > target - before {
                bytes.removeLast(bytes.count - before)
                return
            }
        }
    }

    /// The beginning of the text, and where each of its words ends.
    ///
    /// - Parameter characters: at least how many.
    func words(characters: Int) -> (bytes: [UInt8], ends: [Int]) {
        var bytes: [UInt8] = []
        var ends: [Int] = []
        var walk = WordWalk(seed: seed)
        while bytes.count < max(characters, 1) {
            walk.appendWord(to: &bytes)
            ends.append(bytes.count)
        }
        return (bytes, ends)
    }
}

/// A way through the words of the book.
private struct WordWalk {
    private let book = WordBook.shared
    private var generator: SplitMix64
    private var place: Int

    init(seed: UInt64) {
        generator = SplitMix64(seed: seed)
        place = Self.choice(of: book.words.count, generator.next())
    }

    mutating func appendWord(to bytes: inout [UInt8]) {
        if !bytes.isEmpty { bytes.append(UInt8(ascii: " ")) }
        bytes.append(contentsOf: book.words[place])
        let occurrences = book.occurrences[book.wordIds[place]]
        // The last word of the book is followed by the first.
        place = occurrences[Self.choice(of: occurrences.count, generator.next())] + 1
        if place == book.words.count { place = 0 }
    }

    /// 0..<count, evenly to 1 part in 2^50. Written out, because the standard library may change how it draws.
    private static func choice(of count: Int, _ bits: UInt64) -> Int {
        Int(bits.multipliedFullWidth(by: UInt64(count)).high)
    }
}

/// The book: its words in order, and where else each of them stands.
private struct WordBook {
    static let shared = WordBook(SyntheticSource.text)

    let words: [[UInt8]]
    /// For each word, which it is; punctuation and case make no difference.
    let wordIds: [Int]
    /// For each id, the places of the word.
    let occurrences: [[Int]]

    init(_ text: String) {
        let split = text.split(whereSeparator: \.isWhitespace)
        var ids: [String: Int] = [:]
        wordIds = split.map { word in
            let bare = word.lowercased().filter(\.isLetter)
            let id = ids[bare] ?? ids.count
            ids[bare] = id
            return id
        }
        var occurrences: [[Int]] = Array(repeating: [], count: ids.count)
        for (place, id) in wordIds.enumerated() { occurrences[id].append(place) }
        self.occurrences = occurrences
        words = split.map { Array($0.utf8) }
    }
}
