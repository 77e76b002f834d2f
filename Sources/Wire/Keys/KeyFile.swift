internal import Foundation

/// A process's key on disk, in a file that nobody but its owner may read.
///
/// Lines of `NAME = VALUE`; `#` begins a comment. A worker's file also holds the public key of its coordinator, so that
/// this one file is all that a worker needs.
public struct KeyFile: Sendable {
    /// Of the process.
    public var name: String
    /// The owner's own keys.
    public var pair: KeyPair
    /// The coordinator's key; `nil` in its own file.
    public var coordinator: PublicKey?

    /// A key file in parts; without a coordinator it is a coordinator's own.
    public init(name: String, pair: KeyPair, coordinator: PublicKey? = nil) {
        self.name = name
        self.pair = pair
        self.coordinator = coordinator
    }

    /// - Throws: `KeyError.file` for a file that can't be read, that others may read, or that is none.
    public init(path: String) throws(KeyError) {
        // A pipe that nobody writes to is told at once.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .file(path, "can't be read: \(String(cString: strerror(errno)))") }
        let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw .file(path, "is no file")
        }
        if let problem = PrivateFile.problem(of: status) { throw .file(path, problem) }
        guard status.st_size <= 4096, let data = try? file.read(upToCount: 4096) else {
            throw .file(path, "is no key: make one with `winnow keys new`")
        }
        try self.init(String(decoding: data, as: UTF8.self), path: path)
    }

    package init(_ text: String, path: String) throws(KeyError) {
        var values: [Substring: Substring] = [:]
        for line in text.split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
            let parts = line.split(separator: "=", maxSplits: 1).map { $0.trimming(while: \.isWhitespace) }
            guard parts.count == 2, ["name", "secret", "coordinator"].contains(parts[0]), values[parts[0]] == nil else {
                throw .file(path, "has a line that is not `name`, `secret` or `coordinator`, once each, ` = VALUE`")
            }
            values[parts[0]] = parts[1]
        }
        guard let name = values["name"], AllowList.isName(name) else {
            throw .file(path, "`name` is missing or no name: make a key with `winnow keys new`")
        }
        // A secret has the form of a public key.
        guard let secret = values["secret"].flatMap({ PublicKey($0) }) else {
            throw .file(path, "`secret` is not 64 hexadecimal digits: make a key with `winnow keys new`")
        }
        coordinator = nil
        if let text = values["coordinator"] {
            guard let key = PublicKey(text) else {
                throw .file(path, "`coordinator` is not 64 hexadecimal digits")
            }
            coordinator = key
        }
        self.name = String(name)
        pair = try KeyPair(secret: secret.bytes)
    }

    /// Writes it, mode 0600; a file that is there is not overwritten.
    ///
    /// - Throws: `KeyError.file`.
    public func write(to path: String) throws(KeyError) {
        var text = "# Key of \(name). Whoever has it is \(name).\nname = \(name)\nsecret = \(pair.secretText)\n"
        if let coordinator { text += "coordinator = \(coordinator)\n" }
        try PrivateFile.write(text, to: path)
    }
}

extension Substring {
    fileprivate func trimming(while isOut: (Character) -> Bool) -> Substring {
        var text = drop(while: isOut)
        while let last = text.last, isOut(last) { text.removeLast() }
        return text
    }
}
