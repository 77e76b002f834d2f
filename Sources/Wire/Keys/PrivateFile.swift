package import Foundation

/// Files that nobody but their owner may read.
public enum PrivateFile {
    /// Writes one, mode 0600 whatever the umask is.
    ///
    /// - Parameter isReplacing: Whether a file that is there gives way, at once: who reads it sees the old one or the new.
    /// - Throws: `KeyError.file`; nothing of it is left then.
    public static func write(_ text: String, to path: String, isReplacing: Bool = false) throws(KeyError) {
        let place = isReplacing ? path + ".new" : path
        func failed() -> KeyError { .file(path, "can't be written: \(String(cString: strerror(errno)))") }
        if isReplacing, unlink(place) != 0, errno != ENOENT { throw failed() }
        let descriptor = open(place, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failed() }
        let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        do {
            guard fchmod(descriptor, 0o600) == 0 else { throw CocoaError(.fileWriteNoPermission) }
            try file.write(contentsOf: Data(text.utf8))
            try file.synchronize()
            if isReplacing, rename(place, path) != 0 { throw CocoaError(.fileWriteUnknown) }
        } catch {
            unlink(place)
            throw .file(path, "can't be written: \(error)")
        }
    }

    /// Why the file that `status` is of can't be trusted with a secret; nil: it can.
    ///
    /// Its owner alone may read it. What the system's own hands out (a Secret of Kubernetes, a credential of systemd) is
    /// root's, and readable by the group or the one user it is for.
    package static func problem(of status: stat, user: uid_t = geteuid()) -> String? {
        let isHandedOut = status.st_uid == 0 && user != 0
        guard status.st_mode & (isHandedOut ? 0o037 : 0o077) != 0 else { return nil }
        return
            "others may read it (mode \(String(status.st_mode & 0o777, radix: 8))): chmod 600 it, and make a new key "
            + "if somebody could have read it"
    }
}
