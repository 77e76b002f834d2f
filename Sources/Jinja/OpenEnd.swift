// Where a text is cut that somebody is to go on with.

extension Text {
    /// The text before the last occurrence of a mark that is in an owner's words. The mark ends in a space; where that is
    /// missing, the words before it were trimmed, and the white space before the mark goes too.
    public func beforeLast(_ mark: String, of owner: UInt32) -> Text? {
        let word = Text(mark).stripped(.right)
        var end = bytes.count
        while let found = findLast(word.bytes, in: 0..<end) {
            if origin(at: found) == Origin(owner: owner, isInput: true) {
                let kept = slice(0..<found)
                return has(Array(mark.utf8), at: found) ? kept : kept.stripped(.right)
            }
            end = found
        }
        return nil
    }

    /// Whether it holds `words`, apart from white space at their ends.
    public func holds(_ words: [UInt8]) -> Bool { contains(Text(words).stripped()) }
}
