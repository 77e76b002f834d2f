// The keys that rendered files name.

public import Wire

/// Keys to be made beside rendered files, whose texts hold none.
public struct RenderedKeys: Equatable, Sendable {
    /// A worker that has a key.
    public struct Worker: Equatable, Sendable {
        /// As the list of who may join names it.
        public var name: String
        /// What its owner is for.
        public var role: WorkerRole
    }

    /// A file of the folder that is needed elsewhere too.
    public struct Copy: Equatable, Sendable {
        /// Its name in the folder.
        public var name: String
        /// Where it goes, relative to the folder asked for.
        public var path: String

        /// The list of public keys alone is no secret.
        public var isSecret: Bool { name != "allowed" }
    }

    /// Where all of them are, and where what is missing is made: the topology's folder, or one relative to the folder asked for.
    public var folder: String
    /// Whether ``folder`` is relative to the folder asked for.
    public var isRelative: Bool
    /// All workers.
    public var workers: [Worker]
    /// What goes to each host.
    public var copies: [Copy]

    /// Keys of the processes of `plan`; nil where its topology has none.
    ///
    /// - Parameters:
    ///   - usual: The folder where the topology names none.
    ///   - copies: Files to copy, where they do not lie there anyway.
    init?(_ source: KeySource, _ plan: LaunchPlan, usual: String, copies: [Copy]) {
        switch source {
        case .none: return nil
        case .ephemeral: (folder, isRelative) = (usual, true)
        case .folder(let path): (folder, isRelative) = (path, false)
        }
        let (own, isRelative) = (folder, isRelative)
        self.copies = copies.filter { !isRelative || $0.path != "\(own)/\($0.name)" }
        workers = plan.keyHolders.map { Worker(name: $0.name, role: $0.role) }
    }

    /// The names of files in the folder.
    static func file(of process: String) -> String { "\(process).key" }
    static let coordinatorFiles = [file(of: KeyFolder.coordinator), "allowed"]
}
