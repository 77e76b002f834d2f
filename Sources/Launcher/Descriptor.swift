// Writing to a file descriptor, where a closed pipe or a full disk is an answer and not the end.

internal import Foundation
internal import Glibc
internal import SystemPackage

/// The standard streams of a process, and writes to them that can fail in peace.
package enum Descriptor {
    /// Why a write was not done.
    package struct Problem: Error, Equatable, CustomStringConvertible {
        /// The system's error number.
        package let code: Int32

        /// Whether nobody reads any more.
        package var isClosedPipe: Bool { code == EPIPE }
        package var description: String { String(cString: strerror(code)) }
    }

    /// Writes all bytes; waits while a pipe is full, also where someone who shares it has made it non-blocking.
    ///
    /// - Throws: what the system answered; some of the bytes may have been written.
    package static func write(_ bytes: some Sequence<UInt8>, to descriptor: Int32) throws(Problem) {
        var rest = Array(bytes)[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written >= 0 {
                rest = rest.dropFirst(written)
                continue
            }
            switch errno {
            case EINTR: continue
            case EAGAIN:
                var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                guard poll(&request, 1, -1) >= 0 || errno == EINTR else { throw Problem(code: errno) }
            case let code: throw Problem(code: code)
            }
        }
    }

    /// A file without a name that holds `text`, at its start, for a process to read: unlike a pipe it can be left unread
    /// (the Subprocess library stops its own process where the writer of a pipe meets a reader that is gone).
    ///
    /// - Throws: what the system answered; nothing stays open.
    static func holding(_ text: String) throws(Problem) -> FileDescriptor {
        var path = Array("\(FileManager.default.temporaryDirectory.path)/winnow-XXXXXX".utf8CString)
        let descriptor = mkstemp(&path)
        guard descriptor >= 0 else { throw Problem(code: errno) }
        unlink(path)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        do throws(Problem) {
            try write(text.utf8, to: descriptor)
            guard lseek(descriptor, 0, SEEK_SET) == 0 else { throw Problem(code: errno) }
            return FileDescriptor(rawValue: descriptor)
        } catch {
            close(descriptor)
            throw error
        }
    }

    /// Whether a write of up to `PIPE_BUF` bytes would be done, or refused, at once.
    static func takesAtOnce(_ descriptor: Int32) -> Bool {
        var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&request, 1, 0) == 1
    }

    /// To be called first in a process: a write to a pipe that nobody reads becomes an error of that write instead of
    /// a signal that ends the process, and standard streams that are closed lead to `/dev/null`, so that no file or
    /// socket opened later takes their number and gets what is meant for them.
    package static func secureStandardStreams() {
        signal(SIGPIPE, SIG_IGN)
        for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(descriptor, F_GETFD) == -1 {
            // The lowest free number is taken, which is this one.
            _ = open("/dev/null", O_RDWR)
        }
    }
}
