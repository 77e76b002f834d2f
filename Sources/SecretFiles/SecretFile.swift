// Files with secrets: read only where nobody else may read them, replaced at once.

package import Foundation

/// Reads and writes files with secrets.
package enum SecretFile {
    /// The bytes of a file.
    ///
    /// - Parameters:
    ///   - isSecret: refuses a file that others may read, see ``problem(of:user:)``.
    ///   - limit: the most bytes; a longer file is refused before it is read.
    /// - Throws: what is wrong with it.
    package static func read(
        _ path: String, isSecret: Bool, limit: Int = 1 << 20
    ) throws(SecretFileError) -> Data {
        // Of a pipe that stands in a file's place nothing is waited for.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw SecretFileError(path, "can't be read: \(Self.reason)") }
        let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw SecretFileError(path, "is no file")
        }
        if isSecret, let problem = problem(of: status) { throw SecretFileError(path, problem) }
        func tooLong() -> SecretFileError { SecretFileError(path, "is longer than \(limit) bytes") }
        guard status.st_size <= limit else { throw tooLong() }
        do {
            // It may grow while it is read.
            let data = try file.read(upToCount: limit + 1) ?? Data()
            if data.count <= limit { return data }
        } catch {
            throw SecretFileError(path, "can't be read: \(error.localizedDescription)")
        }
        throw tooLong()
    }

    /// Why the file that `status` is of can't be trusted with a secret; nil: it can.
    ///
    /// Its owner alone may read it. What the system's own hands out (a Secret of Kubernetes, a credential of systemd) is
    /// root's, and readable by the group or the one user it is for.
    package static func problem(of status: stat, user: uid_t = geteuid()) -> String? {
        let isHandedOut = status.st_uid == 0 && user != 0
        guard status.st_mode & (isHandedOut ? 0o037 : 0o077) != 0 else { return nil }
        return
            "others may read it (mode \(String(status.st_mode & 0o777, radix: 8))): chmod 600 it, and make new secrets "
            + "if somebody could have read these"
    }

    /// Writes one, mode 0600 whatever the umask is.
    ///
    /// - Parameter isReplacing: Whether a file that is there gives way, at once: who reads it sees the old one or the new.
    /// - Throws: why it can't be written; nothing of it is left then.
    package static func write(
        _ bytes: some DataProtocol, to path: String, isReplacing: Bool = false
    ) throws(SecretFileError) {
        let place = isReplacing ? path + ".new" : path
        func failed(_ reason: String) -> SecretFileError { SecretFileError(path, "can't be written: \(reason)") }
        if isReplacing, unlink(place) != 0, errno != ENOENT { throw failed(Self.reason) }
        let descriptor = open(place, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failed(Self.reason) }
        let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        do {
            guard fchmod(descriptor, 0o600) == 0 else { throw CocoaError(.fileWriteNoPermission) }
            try file.write(contentsOf: bytes)
            try file.synchronize()
        } catch {
            unlink(place)
            throw failed(error.localizedDescription)
        }
        guard isReplacing, rename(place, path) != 0 else { return }
        let reason = Self.reason
        unlink(place)
        throw failed(reason)
    }

    private static var reason: String { String(cString: strerror(errno)) }
}
