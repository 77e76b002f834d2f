// Settings that are each right and do not go together.

extension SettingValues {
    /// Why a setting can't be said beside the others.
    public struct Conflict: Equatable, Sendable {
        /// The setting to change.
        public var name: String
        /// What is wrong; follows the setting's name.
        public var problem: String
        /// What to do about it.
        public var fix: String
    }

    /// All of them, in the table's order; empty: the values can be used.
    public var conflicts: [Conflict] {
        var conflicts = Setting.all(of: process).filter { $0.isRequired && !isSaid($0.name) }
            .map { Conflict(name: $0.name, problem: "is missing", fix: "Say it. \($0.doc)") }
        switch process {
        case .coordinator: conflicts += shapeConflicts
        case .worker: conflicts += roleConflicts
        case .generate, .bench: break
        }
        if let stride = Setting.named("stride", of: process), let chunk = integer("chunk"), isSaid("stride"),
            let value = integer(stride.name), value > chunk
        {
            conflicts.append(
                Conflict(
                    name: "stride", problem: "must be from 1 to \(chunk), the chunk, found `\(value)`",
                    fix: "Make the stride at most a chunk, or the chunk larger."))
        }
        return conflicts
    }

    private var shapeConflicts: [Conflict] {
        var conflicts: [Conflict] = []
        if isSaid("stages"), isSaid("pipeline") {
            conflicts.append(
                Conflict(
                    name: "stages", problem: "is one pipeline's",
                    fix: "Give each pipeline its own, NAME=STAGES, and leave `stages` out."))
        }
        let names = said("pipeline").compactMap { SettingKind.pipeline($0)?.name }
        if let twice = names.enumerated().first(where: { names[..<$0.offset].contains($0.element) })?.element {
            conflicts.append(
                Conflict(
                    name: "pipeline", problem: "has two called `\(twice)`",
                    fix: "Give each a name of its own."))
        }
        if names.count > Setting.pipelineLimit {
            conflicts.append(
                Conflict(
                    name: "pipeline", problem: "there may be \(Setting.pipelineLimit), found \(names.count)",
                    fix: "Make fewer and deeper ones."))
        }
        if isSaid("allow_list"), !isSaid("keys") {
            conflicts.append(
                Conflict(
                    name: "allow_list", problem: "needs the coordinator's own key", fix: "Add `keys` DIR."))
        }
        if boolean("speculator_workers"), !isSaid("speculator") {
            conflicts.append(
                Conflict(
                    name: "speculator_workers", problem: "needs the model they have", fix: "Add `speculator` PATH."))
        }
        for (name, other, what) in [
            ("tls_certificate", "tls_key", "the certificate's private key"),
            ("tls_key", "tls_certificate", "the certificate it is of"),
            ("tls_client_ca", "tls_certificate", "the server's own certificate"),
        ] where isSaid(name) && !isSaid(other) {
            conflicts.append(
                Conflict(name: name, problem: "needs `\(other)`, \(what)", fix: "Add `\(other)` FILE."))
        }
        return conflicts
    }

    private var roleConflicts: [Conflict] {
        guard text("role") == "speculator" else { return [] }
        return ["pipeline", "layers", "kv_tokens"].filter { isSaid($0) }.map {
            Conflict(
                name: $0, problem: "belongs to a stage; a speculator holds its whole model", fix: "Leave it out.")
        }
    }
}
