// What is wrong with the keys a topology names.

internal import Foundation
internal import Wire

/// What a folder of keys holds, as far as the processes of a launch need it; read where the launch will read it.
public struct KeyFacts: Equatable, Sendable {
    /// What is wrong, each with its fix; empty: nothing, or what is missing will be made.
    public var problems: [Problem] = []

    /// One thing that is wrong.
    public struct Problem: Equatable, Sendable {
        /// What is wrong with it.
        public var problem: String
        /// What to do about it.
        public var fix: String
    }

    /// Reads the folder of `plan`'s keys; nil where the launch makes its own, or has none.
    public init?(_ source: KeySource, for plan: LaunchPlan) {
        guard case .folder(let path) = source else { return nil }
        let folder = KeyFolder(path: path)
        func add(_ problem: String, _ fix: String) { problems.append(Problem(problem: problem, fix: fix)) }
        var status = stat()
        guard stat(path, &status) == 0 else {
            // The launch makes it, if it may.
            let parent = (path as NSString).deletingLastPathComponent
            if access(parent.isEmpty ? "." : parent, W_OK) != 0 {
                add(
                    "\(path) is not there and can't be made: \(String(cString: strerror(errno)))",
                    "Name another folder.")
            }
            return
        }
        if let problem = KeyFolder.problem(of: status) { add("\(path): \(problem)", "As it says.") }
        func read<Value>(_ body: () throws(KeyError) -> Value) -> Value? {
            do {
                return try body()
            } catch {
                add(
                    "\(error)",
                    "Mend it, or delete it and make it anew: `winnow keys new --dir \(ShellWord.quoted(path))`.")
                return nil
            }
        }
        func isThere(_ path: String) -> Bool { access(path, F_OK) == 0 }
        let ownPath = folder.keyPath(KeyFolder.coordinator)
        let own = isThere(ownPath) ? read { () throws(KeyError) in try KeyFile(path: ownPath) } : nil
        let list = isThere(folder.listPath) ? read { () throws(KeyError) in try AllowList(path: folder.listPath) } : nil
        for (name, role) in plan.keyHolders {
            let file = folder.keyPath(name)
            guard isThere(file), let key = read({ () throws(KeyError) in try KeyFile(path: file) }) else { continue }
            let again =
                "Take it back (`winnow keys revoke \(name) --dir \(ShellWord.quoted(path))`); a new one is made then."
            if !isThere(ownPath) || own != nil, key.coordinator != own?.pair.publicKey {
                add("\(file) is for another coordinator than \(ownPath)", again)
                continue
            }
            guard let list else { continue }
            if let entry = list[key.pair.publicKey] {
                if entry.role != role {
                    add("\(file) is on the list as a \(entry.role.rawValue)'s, \(name) is a \(role.rawValue)", again)
                } else if !entry.covers(name: name) {
                    add("\(file) is on the list as \(entry.name)'s", again)
                }
            } else {
                add(
                    "\(file) is not on the list of who may join, \(folder.listPath)",
                    "Add it (`winnow keys add \(name) \(key.pair.publicKey) --role \(role.rawValue) --dir "
                        + "\(ShellWord.quoted(path))`), if it was not revoked.")
            }
        }
    }
}
