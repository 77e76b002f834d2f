// Text to a descriptor whose reader may be slow, stopped or gone, without waiting for it.

internal import Dispatch
internal import Glibc
internal import Synchronization

/// Writes text in order. What the descriptor takes at once is written at once, so that a crash loses nothing; the rest
/// waits in a queue of its own: a stopped terminal must not stop who logs. When the reader is too slow, whole texts are
/// dropped and their number is told; what can't be written (nobody reads, the disk is full) is lost.
package final class LineSink: Sendable {
    /// Bytes waiting to be written, at most.
    package static let backlogLimit = 1 << 20

    private struct Backlog {
        var bytes = 0
        var dropped = 0
    }

    private let descriptor: Int32
    private let queue = DispatchQueue(label: "line-sink")
    private let backlog = Mutex(Backlog())

    /// A sink; the descriptor is not closed here.
    package init(descriptor: Int32) { self.descriptor = descriptor }

    /// Takes one or several whole lines.
    package func write(_ lines: String) {
        let bytes = Array(lines.utf8)
        backlog.withLock { backlog in
            guard backlog.bytes + bytes.count <= Self.backlogLimit else {
                backlog.dropped += bytes.count { $0 == UInt8(ascii: "\n") }
                return
            }
            var text = bytes
            if backlog.dropped > 0 {
                text = Array("(\(backlog.dropped) log lines dropped: this output is read too slowly)\n".utf8) + bytes
                backlog.dropped = 0
            }
            if backlog.bytes == 0, text.count <= PIPE_BUF, Descriptor.takesAtOnce(descriptor) {
                try? Descriptor.write(text, to: descriptor)
                return
            }
            backlog.bytes += text.count
            queue.async { [text] in
                try? Descriptor.write(text, to: self.descriptor)
                self.backlog.withLock { $0.bytes -= text.count }
            }
        }
    }

    /// Waits until what was given before is written, at most `seconds`.
    package func flush(seconds: Int = 2) {
        let done = DispatchSemaphore(value: 0)
        queue.async { done.signal() }
        _ = done.wait(timeout: .now() + .seconds(seconds))
    }
}
