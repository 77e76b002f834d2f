// A whole file, mapped read-only into memory.

import Glibc

/// A regular file mapped read-only for as long as this object lives.
///
/// Its bytes never change through this object, so any number of threads may read them. A file that another process
/// cuts short while it is mapped raises `SIGBUS` on the missing pages: replace model files, don't rewrite them.
package final class MappedFile: @unchecked Sendable {  // `base` is set once and only read
    /// The path as it was given.
    package let path: String
    /// The size in bytes.
    package let count: Int
    /// When it was last written, seconds and nanoseconds since 1970.
    let modified: String
    /// The first byte; nil for an empty file.
    private let base: UnsafeMutableRawPointer?

    /// Maps the file. Throws when it is missing, unreadable or not a regular file.
    package init(path: String) throws(CheckpointError) {
        self.path = path
        // A pipe that nobody writes to is told at once.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw CheckpointError(
                path: path, place: "", problem: "cannot open: \(Self.reason())",
                fix: errno == ENOENT ? "check the path" : "check the file's permissions")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw CheckpointError(path: path, place: "", problem: "cannot read its size: \(Self.reason())")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw CheckpointError(
                path: path, place: "", problem: "not a regular file", fix: "give the path of the file itself")
        }
        count = Int(status.st_size)
        modified = "\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
        guard count > 0 else {
            base = nil
            return
        }
        guard let mapped = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), mapped != MAP_FAILED else {
            throw CheckpointError(path: path, place: "", problem: "cannot map \(count) bytes: \(Self.reason())")
        }
        base = mapped
    }

    deinit {
        if let base { munmap(base, count) }
    }

    /// Lends the bytes of the file; they must not be used after `body` returns.
    package func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try withExtendedLifetime(self) {
            try body(UnsafeRawBufferPointer(start: base, count: count))
        }
    }

    /// Has the system begin to read these bytes, which will be wanted at once.
    func willRead(_ bytes: Range<Int>) {
        guard let base, !bytes.isEmpty else { return }
        let page = Int(getpagesize())
        let first = bytes.lowerBound / page * page
        madvise(base + first, bytes.upperBound - first, MADV_WILLNEED)
    }

    /// Drops the pages that reading brought into memory; they come back from the file when they are read again.
    package func forgetPages() {
        if let base { madvise(base, count, MADV_DONTNEED) }
    }

    private static func reason() -> String {
        String(cString: strerror(errno))
    }
}
