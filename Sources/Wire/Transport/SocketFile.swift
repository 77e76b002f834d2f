// The file of an ipc:// endpoint, and the folder that it lies in.

import CZeroMQ
import Glibc

/// What makes a Unix socket its user's own: a folder that nobody else may write to, and mode 0600.
enum SocketFile {
    /// Before binding or connecting: in a folder that others may write to (`/tmp` among them) anybody could have put the
    /// file there.
    static func check(_ path: String, doing operation: String) throws(ZeroMQError) {
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        func refused(_ problem: String) -> ZeroMQError {
            ZeroMQError(operation, endpoint: "ipc://\(path)", problem: problem)
        }
        var status = stat()
        guard stat(folder, &status) == 0 else {
            throw refused("the folder \(folder) can't be looked at: \(String(cString: strerror(errno)))")
        }
        guard status.st_uid == geteuid() || status.st_uid == 0 else {
            throw refused("the folder \(folder) is another user's; use one of your own, made with mkdir -m 700")
        }
        guard status.st_mode & 0o022 == 0 else {
            throw refused(
                "others may write to the folder \(folder), so anybody could answer there; use one of your own, made with "
                    + "mkdir -m 700")
        }
    }

    /// Once it is bound.
    static func close(_ path: String) throws(ZeroMQError) {
        guard chmod(path, 0o600) == 0 else {
            throw ZeroMQError(
                "bind", endpoint: "ipc://\(path)",
                problem: "its mode can't be set: \(String(cString: strerror(errno)))")
        }
    }
}
