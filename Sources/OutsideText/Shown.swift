// How text from outside is repeated in messages and logs: short, on one line, nothing in it that acts.

extension StringProtocol {
    /// A stranger's own words as an error message or a log line may repeat them: at most 80 Unicode scalars.
    public var shown: String { shown(upTo: 80) }

    /// The text on one line: what breaks lines, moves the cursor, turns the direction of reading or can't be seen is
    /// escaped as Swift would write it, `\n` or `\u{202E}`. Of a longer text the first `count` scalars and an ellipsis.
    ///
    /// Scalars are counted, not characters: a single character may be megabytes of combining marks.
    public func shown(upTo count: Int) -> String {
        var line = ""
        var scalars = unicodeScalars.makeIterator()
        for _ in 0..<Swift.max(0, count) {
            guard let scalar = scalars.next() else { return line }
            if scalar.acts {
                line += scalar.escaped(asASCII: true)
            } else {
                line.unicodeScalars.append(scalar)
            }
        }
        return scalars.next() == nil ? line : line + "..."
    }
}

extension Unicode.Scalar {
    /// Whether a terminal or an editor would do something else than show a mark for it.
    fileprivate var acts: Bool {
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned: true
        default: false
        }
    }
}
