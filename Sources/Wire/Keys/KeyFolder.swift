package import Foundation

/// A folder with the keys of a cluster: `coordinator.key`, `NAME.key` of each worker that got its key here, and `allowed`,
/// the list of whose keys may join.
public struct KeyFolder: Sendable {
    /// Where it is.
    public let path: String

    /// The name of the coordinator's own key.
    public static let coordinator = "coordinator"

    /// The folder at a path; it is not looked at.
    public init(path: String) { self.path = path }

    /// The allow-list in it.
    public var listPath: String { path + "/allowed" }

    /// Where the secret of the process of that name lies.
    public func keyPath(_ name: String) -> String { "\(path)/\(name).key" }

    /// Makes the folder, mode 0700, the coordinator's key and an empty list, as far as they are not there.
    ///
    /// - Throws: `KeyError`.
    public func prepare() throws(KeyError) {
        if mkdir(path, 0o700) != 0, errno != EEXIST {
            throw .file(path, "can't be made: \(String(cString: strerror(errno)))")
        }
        var status = stat()
        if stat(path, &status) != 0 { throw .file(path, String(cString: strerror(errno))) }
        if let problem = Self.problem(of: status) { throw .file(path, problem) }
        if access(keyPath(Self.coordinator), F_OK) != 0 {
            try KeyFile(name: Self.coordinator, pair: .random()).write(to: keyPath(Self.coordinator))
        }
        if access(listPath, F_OK) != 0 { try AllowList().write(to: listPath) }
    }

    /// Why the folder that `status` is of is none for keys; nil: it is. Whoever can put files into it could put their own list
    /// of who may join.
    package static func problem(of status: stat) -> String? {
        guard status.st_mode & S_IFMT == S_IFDIR else { return "is no folder" }
        guard status.st_uid == geteuid() || status.st_uid == 0, status.st_mode & 0o022 == 0 else {
            return "others may change it: chmod 700 it, or name another folder"
        }
        return nil
    }

    /// Makes the folder, and what is missing in it for the coordinator and these workers.
    ///
    /// - Throws: `KeyError`, also for a worker's key that is there and is for another coordinator.
    public func prepare(for workers: [(name: String, role: WorkerRole)]) throws(KeyError) {
        try prepare()
        let own = try KeyFile(path: keyPath(Self.coordinator)).pair.publicKey
        for worker in workers {
            let path = keyPath(worker.name)
            if access(path, F_OK) != 0 {
                try make(worker.name, role: worker.role)
            } else if try KeyFile(path: path).coordinator != own {
                throw .file(
                    path, "is for another coordinator than \(Self.coordinator).key: delete it, a new one is made then")
            }
        }
    }

    /// Makes a worker's key and puts it on the list.
    ///
    /// - Throws: `KeyError`; a key of that name is not replaced.
    public func make(_ name: String, role: WorkerRole) throws(KeyError) {
        let coordinator = try KeyFile(path: keyPath(Self.coordinator)).pair.publicKey
        var list = try AllowList(path: listPath)
        let pair = try KeyPair.random()
        try KeyFile(name: name, pair: pair, coordinator: coordinator).write(to: keyPath(name))
        list.add(AllowList.Entry(role: role, name: name, key: pair.publicKey))
        try list.write(to: listPath)
    }

    /// Takes the name's keys off the list, and deletes its secret where it lies here. Returns how many keys there were.
    ///
    /// - Throws: `KeyError`.
    public func revoke(_ name: String) throws(KeyError) -> Int {
        var list = try AllowList(path: listPath)
        let count = list.revoke(name)
        if count > 0 { try list.write(to: listPath) }
        if unlink(keyPath(name)) != 0, errno != ENOENT {
            throw .file(keyPath(name), "is revoked, but can't be deleted: \(String(cString: strerror(errno)))")
        }
        return count
    }
}
