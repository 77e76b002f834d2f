// The README's tables of settings, in Markdown.

extension Setting {
    /// The keys of a topology file, a row for each place.
    public static var topologyTable: String {
        func keys(_ settings: [Setting], before: [String] = [], after: [String] = []) -> String {
            var seen: Set<String> = []
            let names = before + settings.map(\.name).filter { seen.insert($0).inserted } + after
            return names.map { "`\($0)`" }.joined(separator: ", ")
        }
        let sections = [
            "coordinator", "speculation", "pipelines", "spares", "speculators", "restart", "keys", "hosts",
            "environment",
        ]
        let workers = all(in: .worker)
        let own = all(of: .worker).filter {
            !$0.homes.isDisjoint(with: [.worker, .mainWorker]) && !$0.homes.contains(.pipeline)
        }
        let rows = [
            ("top", keys(all(in: .top), after: sections)),
            ("`coordinator`", keys(all(in: .coordinator), before: ["host"])),
            ("`speculation`", keys(all(in: .speculation))),
            (
                "an entry of `pipelines`",
                "`name`, `stages` (a number or a list); for all of them " + keys(all(in: .pipeline), before: ["host"])
            ),
            ("a stage", "the same, and " + keys(own)),
            (
                "`spares`, `speculators`",
                "a number, a list, or `count` with what all of them have: " + keys(workers, before: ["host"])
                    + ", and of spares " + keys(all(in: .mainWorker))
            ),
            ("`restart`", "a policy, or `policy`, `backoff`, `max_backoff`, `give_up`, `window`"),
        ]
        return "| where | keys |\n|---|---|\n" + rows.map { "| \($0.0) | \($0.1) |\n" }.joined()
    }

    /// Lines that explain the keys of a place, `indent` spaces in, for `--help`: key, a value, and what it says.
    public static func help(in home: Home, of process: Process, indent: Int) -> String {
        let column = 33
        return all(in: home).filter { $0.processes.contains(process) }.map { setting in
            let value = setting.fallback ?? setting.kind.example
            let key = String(repeating: " ", count: indent) + "\(setting.name): \(value)"
            let doc = wrapped(setting.doc, to: 79 - column)
            let margin = String(repeating: " ", count: column)
            guard key.count < column else { return ([key] + doc.map { margin + $0 }).joined(separator: "\n") }
            let head = key + String(repeating: " ", count: column - key.count) + (doc.first ?? "")
            return ([head] + doc.dropFirst().map { margin + $0 }).joined(separator: "\n")
        }.joined(separator: "\n")
    }

    private static func wrapped(_ text: String, to width: Int) -> [String] {
        var lines = [""]
        for word in text.split(separator: " ") {
            let last = lines[lines.count - 1]
            if last.isEmpty {
                lines[lines.count - 1] = String(word)
            } else if last.count + 1 + word.count <= width {
                lines[lines.count - 1] += " \(word)"
            } else {
                lines.append(String(word))
            }
        }
        return lines
    }

    /// The settings of a process: key, what it may be, default, meaning.
    public static func table(of process: Process) -> String {
        "| key | value | default | meaning |\n|---|---|---|---|\n"
            + all(of: process).map { setting in
                let fallback = setting.fallback.map { "`\($0)`" } ?? ""
                return "| `\(setting.name)` | \(setting.range) | \(fallback) | \(setting.doc) |\n"
            }.joined()
    }

    /// What it may be, in a few words.
    public var range: String {
        let text =
            switch kind.element {
            case .integer(let range): "\(range.lowerBound) to \(range.upperBound)"
            case .odd(let range): "odd, \(range.lowerBound) to \(range.upperBound)"
            case .share: "over 0, at most 1"
            case .choice(_, let words): words.map { "`\($0)`" }.joined(separator: ", ")
            case .boolean: "`true`, `false`"
            case .text: "text"
            case .model: "directory or GGUF file"
            case .file: "path"
            case .folder: "path or `none`"
            case .endpoint: "`tcp://HOST:PORT` or `ipc://PATH`"
            case .address: "`HOST:PORT`"
            case .host: "name or address"
            case .cpus: "`0,2-3`"
            case .layers: "`0-4`, `0-7a`, `auto`"
            case .pipelineName: "letters, digits, `-_.`"
            case .pipelineShape: "`NAME=STAGES`"
            case .origin: "origin or `*`"
            case .list: ""
            }
        return (kind.isList ? "one or several: " : "") + text + (unit.map { " \($0.rawValue)" } ?? "")
    }
}
