// Settings read from the nodes of a file, each checked by the table.

internal import Settings

extension SettingValues {
    /// Reads what `nodes` say of the settings of `home`; what is wrong is noted and counts as not said.
    init(_ nodes: [String: TopologyNode], _ home: Setting.Home, of process: Setting.Process) {
        self.init(process)
        read(nodes, Setting.all(in: home).filter { $0.processes.contains(process) })
    }

    /// Reads what `nodes` say of `settings`.
    mutating func read(_ nodes: [String: TopologyNode], _ settings: [Setting]) {
        for setting in settings {
            guard let node = nodes[setting.name],
                let texts = node.faults.attempt({ () throws(TopologyError) in try node.texts(of: setting) })
            else { continue }
            set(setting.name, to: texts)
        }
    }
}

extension TopologyNode {
    /// The values of a setting that are written here.
    func texts(of setting: Setting) throws(TopologyError) -> [String] {
        switch setting.kind {
        case .list(_, let most):
            var texts: [String] = []
            for entry in isSequence ? try sequence(limit: most) : [self] { texts.append(try entry.checked(setting)) }
            return texts
        case .cpus where isSequence:
            // A list of numbers is as good as the text with commas.
            var numbers: [String] = []
            for entry in try sequence(limit: 4096) { numbers.append(try entry.checked(setting)) }
            return [numbers.joined(separator: ",")]
        case .folder where try checked(setting) == SettingKind.noFolder: return [SettingKind.noFolder]
        case .model, .file, .folder:
            _ = try checked(setting)
            return [try file()]
        default: return [try checked(setting)]
        }
    }

    private func checked(_ setting: Setting) throws(TopologyError) -> String {
        let text = try text()
        if let problem = setting.problem(with: text) {
            throw error(problem.problem, fix: problem.fix(key: setting.name))
        }
        return text
    }
}
