// Log lines of many processes on one stream: prefixed, coloured on a terminal, never blocking the caller.

internal import Glibc
internal import OutsideText

/// Writes `PREFIX | TEXT` lines to a file descriptor: a stopped terminal must not stop the launcher from ending its
/// children. When the reader is too slow, lines are dropped and their number is told.
public final class LogPrinter: Sendable {
    private let sink: LineSink
    private let width: Int
    private let colours: [String: String]

    /// A printer for the named processes.
    ///
    /// - Parameters:
    ///   - names: Every prefix that will be used; they are padded to the same width.
    ///   - descriptor: Where to write, by default standard error; not closed here.
    ///   - colour: Whether prefixes are coloured; nil colours on a terminal unless `NO_COLOR` is set.
    public init(names: [String], descriptor: Int32 = 2, colour: Bool? = nil) {
        sink = LineSink(descriptor: descriptor)
        width = names.map(\.count).max() ?? 0
        let wanted = colour ?? (isatty(descriptor) == 1 && getenv("NO_COLOR") == nil)
        let palette = [36, 32, 33, 35, 34, 96, 92, 93, 95, 94]
        var colours: [String: String] = [:]
        if wanted {
            for (index, name) in names.enumerated() { colours[name] = "\u{1B}[\(palette[index % palette.count])m" }
        }
        self.colours = colours
    }

    /// Prints one line (or several: each gets the prefix). What would do more than show on a terminal is escaped.
    public func print(_ name: String, _ text: String) {
        let padded = name + String(repeating: " ", count: max(0, width - name.count))
        let prefix = colours[name].map { "\($0)\(padded) |\u{1B}[0m " } ?? "\(padded) | "
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        sink.write(lines.map { prefix + $0.shown(upTo: LineSplitter.limit) + "\n" }.joined())
    }

    /// Waits until what was printed before is written, at most `seconds`.
    public func flush(seconds: Int = 2) { sink.flush(seconds: seconds) }
}
