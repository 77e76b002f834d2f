// Files with secrets: read only where nobody else may read them, replaced at once.

package import Foundation
import SystemPackage

/// What is wrong with a file that the gateway reads: a secret, a certificate, a list of keys.
public struct SecretFileError: Error, Equatable, CustomStringConvertible, Sendable {
    /// The file, with the line where one is at fault.
    public let place: String
    /// What is wrong, and the fix.
    public let problem: String

    package init(_ place: String, _ problem: String) {
        self.place = place
        self.problem = problem
    }

    public var description: String { "\(place): \(problem)" }
}

/// Reads and writes files with secrets.
package enum SecretFile {
    /// The longest file that is read, in bytes.
    static let longest = 1 << 20

    /// The bytes of a file.
    ///
    /// - Parameter isSecret: refuses a file that others may read. As PostgreSQL has it: one's own file is readable by
    ///   its owner alone; one of root's may be readable by the process's group too, as orchestrators mount secrets.
    /// - Throws: what is wrong with it.
    package static func read(_ path: String, isSecret: Bool) throws(SecretFileError) -> Data {
        let file: FileDescriptor
        let facts: Stat
        do {
            file = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .nonBlocking])
        } catch {
            throw SecretFileError(path, "can't be read: \(error)")
        }
        defer { try? file.close() }
        do {
            facts = try file.stat()
        } catch {
            throw SecretFileError(path, "can't be read: \(error)")
        }
        guard facts.type == .regular else { throw SecretFileError(path, "is no file") }
        let isOfRoot = facts.userID.rawValue == 0 && geteuid() != 0
        let forbidden: FilePermissions =
            isOfRoot ? [.groupWrite, .groupExecute, .otherReadWriteExecute] : Self.ofOthers
        guard !isSecret || facts.permissions.isDisjoint(with: forbidden) else {
            throw SecretFileError(
                path,
                "others may read it (mode \(String(facts.permissions.rawValue & 0o777, radix: 8))): chmod 600 it, and make "
                    + "new secrets if somebody could have read these")
        }
        guard facts.size <= longest else { throw SecretFileError(path, "is longer than \(longest) bytes") }
        do {
            var bytes = Data()
            var piece = [UInt8](repeating: 0, count: 1 << 16)
            while bytes.count <= longest {
                let count = try piece.withUnsafeMutableBytes { try file.read(into: $0) }
                guard count > 0 else { return bytes }
                bytes.append(contentsOf: piece[..<count])
            }
        } catch {
            throw SecretFileError(path, "can't be read: \(error)")
        }
        throw SecretFileError(path, "is longer than \(longest) bytes")
    }

    private static let ofOthers: FilePermissions = [.groupReadWriteExecute, .otherReadWriteExecute]

    /// Writes a file of mode 0600 in place of the one that is there, so that who reads it sees the old or the new one.
    ///
    /// - Throws: why it can't be written.
    static func write(_ text: String, to path: String) throws(SecretFileError) {
        let temporary = "\(path).\(ProcessInfo.processInfo.processIdentifier).new"
        do {
            // The mode holds whatever the umask is: that can only take away.
            let file = try FileDescriptor.open(
                temporary, .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: [.ownerReadWrite])
            try file.closeAfter { _ = try file.writeAll(Array(text.utf8)) }
        } catch {
            unlink(temporary)
            throw SecretFileError(path, "can't be written: \(error)")
        }
        guard rename(temporary, path) == 0 else {
            let problem = String(cString: strerror(errno))
            unlink(temporary)
            throw SecretFileError(path, "can't be written: \(problem)")
        }
    }
}

/// By which a file that changed is known: who replaces a file changes its number, and who turns a link the path behind it.
struct FileStamp: Equatable {
    private let path: String
    private let number: Int?
    private let size: Int?
    private let time: Date?

    /// nil: there is no such file.
    init?(_ path: String) {
        self.path = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        guard let facts = try? FileManager.default.attributesOfItem(atPath: self.path) else { return nil }
        number = facts[.systemFileNumber] as? Int
        size = facts[.size] as? Int
        time = facts[.modificationDate] as? Date
    }
}
