// The keys of a launch's processes: made for it, or those of a folder.

internal import Foundation
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
    private let isEphemeral: Bool

    /// Makes what is missing for the processes of `plan`; `nil` where it shall have none.
    ///
    /// - Throws: `KeyError`.
    public init?(_ source: KeySource, for plan: LaunchPlan) throws(KeyError) {
        switch source {
        case .none: return nil
        case .folder(let path):
            folder = KeyFolder(path: path)
            isEphemeral = false
        case .ephemeral:
            let parent = ProcessInfo.processInfo.environment["XDG_RUNTIME_DIR"] ?? NSTemporaryDirectory()
            var name = Array("\(parent)/winnow-keys-XXXXXX".utf8CString)
            guard mkdtemp(&name) != nil else {
                throw .file(parent, "no folder can be made for keys: \(String(cString: strerror(errno)))")
            }
            folder = KeyFolder(path: String(decoding: name.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self))
            isEphemeral = true
        }
        do {
            try folder.prepare()
            for worker in plan.workers where access(folder.keyPath(worker.name), F_OK) != 0 {
                try folder.make(worker.name, role: worker.part == .speculator ? .speculator : .stage)
            }
        } catch {
            remove()
            throw error
        }
    }

    /// Deletes keys that were made for this launch alone.
    public func remove() {
        if isEphemeral { try? FileManager.default.removeItem(atPath: folder.path) }
    }
}

extension LaunchPlan {
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
