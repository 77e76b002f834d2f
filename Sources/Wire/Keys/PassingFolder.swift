internal import Foundation

/// A folder for secrets that lasts no longer than its process: mode 0700, in `$XDG_RUNTIME_DIR` or where temporary files go.
///
/// Its process holds a lock on it. What a killed one has left is removed by the next that makes one.
public final class PassingFolder: Sendable {
    /// Where it is.
    public let path: String
    /// Open, and locked as long as this lives.
    private let descriptor: Int32

    private static let prefix = "winnow-keys-"

    /// - Parameter parent: Where to make it, instead of the usual place.
    /// - Throws: `KeyError.file` where no folder can be made.
    public init(in parent: String? = nil) throws(KeyError) {
        let parent = parent ?? ProcessInfo.processInfo.environment["XDG_RUNTIME_DIR"] ?? NSTemporaryDirectory()
        Self.sweep(parent)
        while true {
            var name = Array("\(parent)/\(Self.prefix)XXXXXX".utf8CString)
            guard mkdtemp(&name) != nil else {
                throw .file(parent, "no folder can be made for keys: \(String(cString: strerror(errno)))")
            }
            let path = String(decoding: name.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
            let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            // Somebody who sweeps may have taken it before it was locked.
            if descriptor >= 0, flock(descriptor, LOCK_EX) == 0, access(path, F_OK) == 0 {
                (self.path, self.descriptor) = (path, descriptor)
                return
            }
            if descriptor >= 0 { close(descriptor) }
            guard access(path, F_OK) != 0 else {
                throw .file(path, "can't be locked: \(String(cString: strerror(errno)))")
            }
        }
    }

    /// Deletes it with all that is in it.
    public func remove() { try? FileManager.default.removeItem(atPath: path) }

    deinit { close(descriptor) }

    /// Removes this user's folders whose processes are gone.
    private static func sweep(_ parent: String) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        for name in names where name.hasPrefix(prefix) && name.utf8.count == prefix.utf8.count + 6 {
            let path = "\(parent)/\(name)"
            let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            guard descriptor >= 0 else { continue }
            defer { close(descriptor) }
            var status = stat()
            guard fstat(descriptor, &status) == 0, status.st_uid == geteuid(),
                flock(descriptor, LOCK_EX | LOCK_NB) == 0
            else { continue }
            try? FileManager.default.removeItem(atPath: path)
        }
    }
}
