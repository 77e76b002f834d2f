// Log lines of many processes on one stream: prefixed, coloured on a terminal, never blocking the caller.

internal import Dispatch
internal import Glibc
internal import Synchronization

/// Writes `PREFIX | TEXT` lines to a file descriptor from a queue of its own: a stopped terminal must not stop the
/// launcher from ending its children. When the reader is too slow, lines are dropped and their number is told.
public final class LogPrinter: Sendable {
    /// Bytes waiting to be written, at most.
    static let backlogLimit = 1 << 20

    private struct Backlog {
        var bytes = 0
        var dropped = 0
    }

    private let descriptor: Int32
    private let width: Int
    private let colours: [String: String]
    private let queue = DispatchQueue(label: "log-printer")
    private let backlog = Mutex(Backlog())

    /// A printer for the named processes.
    ///
    /// - Parameters:
    ///   - names: Every prefix that will be used; they are padded to the same width.
    ///   - descriptor: Where to write, by default standard error; not closed here.
    ///   - colour: Whether prefixes are coloured; nil colours on a terminal unless `NO_COLOR` is set.
    public init(names: [String], descriptor: Int32 = 2, colour: Bool? = nil) {
        self.descriptor = descriptor
        width = names.map(\.count).max() ?? 0
        let wanted = colour ?? (isatty(descriptor) == 1 && getenv("NO_COLOR") == nil)
        let palette = [36, 32, 33, 35, 34, 96, 92, 93, 95, 94]
        var colours: [String: String] = [:]
        if wanted {
            for (index, name) in names.enumerated() { colours[name] = "\u{1B}[\(palette[index % palette.count])m" }
        }
        self.colours = colours
    }

    /// Queues one line (or several: each gets the prefix).
    public func print(_ name: String, _ text: String) {
        let padded = name + String(repeating: " ", count: max(0, width - name.count))
        let prefix = colours[name].map { "\($0)\(padded) |\u{1B}[0m " } ?? "\(padded) | "
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { prefix + $0 + "\n" }
        let block = lines.joined()
        let size = block.utf8.count
        let dropped = backlog.withLock { backlog -> Int? in
            guard backlog.bytes + size <= Self.backlogLimit else {
                backlog.dropped += lines.count
                return nil
            }
            backlog.bytes += size
            defer { backlog.dropped = 0 }
            return backlog.dropped
        }
        guard let dropped else { return }
        queue.async {
            self.write((dropped > 0 ? "(\(dropped) log lines dropped: this output is read too slowly)\n" : "") + block)
            self.backlog.withLock { $0.bytes -= size }
        }
    }

    /// Waits until what was printed before is written, at most `seconds`.
    public func flush(seconds: Int = 2) {
        let done = DispatchSemaphore(value: 0)
        queue.async { done.signal() }
        _ = done.wait(timeout: .now() + .seconds(seconds))
    }

    private func write(_ text: String) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written < 0 {
                if errno == EINTR { continue }
                // Someone else who shares the descriptor may have made it non-blocking.
                guard errno == EAGAIN else { return }
                var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                guard poll(&request, 1, -1) >= 0 || errno == EINTR else { return }
                continue
            }
            bytes = bytes.dropFirst(written)
        }
    }
}
