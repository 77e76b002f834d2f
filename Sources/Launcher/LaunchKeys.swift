// The keys of a launch's processes: made for it, or those of a folder.

public import Wire

/// Where a launch has its keys from.
public enum KeySource: Equatable, Sendable {
    /// Made for the launch, and gone with it.
    case ephemeral
    /// This folder's; what is missing there is made.
    case folder(String)
    /// Links are plain text.
    case none
}

/// The keys of one launch.
public struct LaunchKeys: Sendable {
    /// Where they lie, mode 0700.
    public let folder: KeyFolder
    /// The folder that goes with the launch; nil: it stays.
    private let passing: PassingFolder?

    /// Makes what is missing for the processes of `plan`; `nil` where it shall have none.
    ///
    /// - Throws: `KeyError`.
    public init?(_ source: KeySource, for plan: LaunchPlan) throws(KeyError) {
        switch source {
        case .none: return nil
        case .folder(let path):
            folder = KeyFolder(path: path)
            passing = nil
        case .ephemeral:
            let made = try PassingFolder()
            folder = KeyFolder(path: made.path)
            passing = made
        }
        do {
            try folder.prepare(for: plan.keyHolders)
        } catch {
            remove()
            throw error
        }
    }

    /// Deletes keys that were made for this launch alone.
    public func remove() { passing?.remove() }
}

extension LaunchPlan {
    /// The workers as their keys name them.
    var keyHolders: [(name: String, role: WorkerRole)] {
        workers.map { ($0.name, $0.part == .speculator ? .speculator : .stage) }
    }

    /// The same processes, each with its key of this folder.
    public func with(_ keys: KeyFolder) -> LaunchPlan {
        var plan = self
        plan.coordinator.keyFiles = [keys.keyPath(KeyFolder.coordinator), keys.listPath]
        plan.coordinator.set("keys", keys.path)
        for index in plan.workers.indices {
            let path = keys.keyPath(workers[index].name)
            plan.workers[index].keyFiles = [path]
            plan.workers[index].set("key", path)
        }
        return plan
    }
}
