// Digits in groups of three, counted from the right.

/// Where the pattern `(?=(\d{3})+(?!\d))` matches: in front of every digit that has a multiple of three digits from itself
/// to the end of its run. A search looks through the rest of the run at every place; this takes linear time.
enum DigitTriples {
    /// Calls `body` with the offset of each such digit, in order. `text` is UTF-8.
    static func forEachCut(in text: UnsafeRawBufferPointer, _ body: (Int) -> Void) {
        /// Where the digits of the run in hand begin.
        var run: [Int] = []
        func cut() {
            for place in stride(from: run.count % 3, to: run.count, by: 3) { body(run[place]) }
            run.removeAll(keepingCapacity: true)
        }
        var start = 0
        while start < text.count {
            let end = Scratch.characterEnd(in: text, from: start)
            if isDigit(UnsafeRawBufferPointer(rebasing: text[start..<end])) { run.append(start) } else { cut() }
            start = end
        }
        cut()
    }

    private static func isDigit(_ character: UnsafeRawBufferPointer) -> Bool {
        if character.count == 1 { return (0x30...0x39).contains(character[0]) }
        return String(decoding: character, as: UTF8.self).unicodeScalars.first?.properties.generalCategory
            == .decimalNumber
    }
}
