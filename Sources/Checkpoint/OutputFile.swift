// A file that appears under its name only when it is complete.

internal import Glibc

/// Writes to `path.partial` and renames at the end; an unfinished file is removed.
final class OutputFile {
    private let path: String
    private let descriptor: Int32
    private var finished = false

    init(path: String) throws(CheckpointError) {
        self.path = path
        descriptor = open(path + ".partial", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else {
            throw CheckpointError(
                path: path, place: "", problem: "cannot be created: \(String(cString: strerror(errno)))",
                fix: "check that the directory exists and may be written to")
        }
    }

    deinit {
        close(descriptor)
        if !finished { unlink(path + ".partial") }
    }

    /// Appends bytes. In a task that is cancelled nothing more is written, so that whoever cancels it need not know
    /// what was begun.
    func write(_ bytes: [UInt8]) throws(CheckpointError) {
        guard !Task.isCancelled else { throw CheckpointError(path: path, place: "", problem: "was not finished") }
        var done = 0
        while done < bytes.count {
            let written = bytes.withUnsafeBytes { all in
                let rest = UnsafeRawBufferPointer(rebasing: all[done...])
                return Glibc.write(descriptor, rest.baseAddress, rest.count)
            }
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { throw failure("cannot be written") }
            done += written
        }
    }

    /// Gives the file its name.
    func finish() throws(CheckpointError) {
        guard rename(path + ".partial", path) == 0 else { throw failure("cannot be renamed from \(path).partial") }
        finished = true
    }

    private func failure(_ what: String) -> CheckpointError {
        CheckpointError(path: path, place: "", problem: "\(what): \(String(cString: strerror(errno)))")
    }
}
