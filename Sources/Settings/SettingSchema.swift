// A JSON schema of topology files, for editors.

extension Setting {
    /// JSON Schema (draft 2020-12) of a topology file, one object, keys in the table's order: editors that know YAML
    /// complete and check a file by it.
    public static var topologySchema: String {
        let stage = Schema.places([.worker, .mainWorker])
        let spare = Schema.places([.worker, .mainWorker])
        let speculator = Schema.places([.worker])
        func workers(_ properties: [(String, String)]) -> String {
            let counted = [("count", Schema.integer(0...stageRange.upperBound, "How many."))] + properties
            return Schema.any([
                Schema.integer(0...stageRange.upperBound, "How many."), Schema.object(counted),
                Schema.list(Schema.object(properties), stageRange.upperBound),
            ])
        }
        let pipeline = Schema.object(
            [
                ("name", Schema.scalar(.pipelineName, "Default: main, then pipeline-1, pipeline-2, ...")),
                (
                    "stages",
                    Schema.any([
                        Schema.integer(stageRange, "Equal stages."),
                        Schema.list(Schema.object(stage), stageRange.upperBound),
                    ])
                ),
            ] + Schema.places([.pipeline]), required: ["stages"])
        return Schema.object(
            Schema.properties(all(in: .top)) + [
                ("coordinator", Schema.object([Schema.host] + Schema.properties(all(in: .coordinator)))),
                ("speculation", Schema.object(Schema.properties(all(in: .speculation)))),
                ("pipelines", Schema.list(pipeline, pipelineLimit)),
                ("spares", workers(spare)), ("speculators", workers(speculator)),
                ("restart", "{\"description\": \"What becomes of processes that end by themselves.\"}"),
                (
                    "keys",
                    Schema.scalar(
                        .text, "auto: made for this launch; none; or a folder, what is missing there is made.")
                ),
                ("hosts", "{\"type\": \"object\"}"),
                (
                    "environment",
                    "{\"type\": \"object\", \"additionalProperties\": {\"type\": [\"string\", \"number\"]}}"
                ),
            ], required: ["model", "pipelines"],
            head: [
                "\"$schema\": \"https://json-schema.org/draft/2020-12/schema\"",
                "\"title\": \"A topology of winnow launch\"",
            ])
    }
}

/// Parts of a schema, as JSON text.
private enum Schema {
    static let host = ("host", scalar(.text, "The host it runs on."))

    static func places(_ homes: Set<Setting.Home>) -> [(String, String)] {
        let settings = Setting.all(of: .worker).filter { !$0.homes.isDisjoint(with: homes) }
        return [host] + properties(settings)
    }

    static func properties(_ settings: [Setting]) -> [(String, String)] {
        var seen: Set<String> = []
        return settings.filter { seen.insert($0.name).inserted }.map { ($0.name, property($0)) }
    }

    private static func property(_ setting: Setting) -> String {
        var doc = setting.doc
        if let unit = setting.unit, unit == .seconds || unit == .bytes { doc += " In \(unit.rawValue)." }
        if let fallback = setting.fallback { doc += " Default: \(fallback)." }
        switch setting.kind {
        case .list(let element, let most):
            return any([scalar(element, doc), list(scalar(element, doc), most)])
        case .cpus: return any([scalar(.cpus, doc), list(integer(0...4095, doc), 4096)])
        default: return scalar(setting.kind, doc)
        }
    }

    static func scalar(_ kind: SettingKind, _ doc: String) -> String {
        switch kind {
        case .integer(let range): return integer(range, doc)
        case .odd(let range): return typed("integer", range, doc, ", \"not\": {\"multipleOf\": 2}")
        case .share:
            return "{\"type\": \"number\", \"exclusiveMinimum\": 0, \"maximum\": 1, \"description\": \(quoted(doc))}"
        case .choice(_, let words):
            return "{\"enum\": [\(words.map(quoted).joined(separator: ", "))], \"description\": \(quoted(doc))}"
        case .boolean: return "{\"type\": \"boolean\", \"description\": \(quoted(doc))}"
        case .endpoint: return pattern("^(tcp://.+:([0-9]+|\\*)|ipc://.+)$", doc)
        case .address: return pattern("^.+:[0-9]+$", doc)
        case .layers:
            return any([
                pattern("^([0-9]+(a|f[0-9]{0,2})?(-[0-9]+(a|f[0-9]{0,2})?)?|auto)$", doc), integer(0...4095, doc),
            ])
        case .cpus: return any([pattern("^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$", doc), integer(0...4095, doc)])
        case .pipelineName: return any([pattern("^[A-Za-z0-9_.-]{1,64}$", doc), "{\"type\": \"number\"}"])
        default: return "{\"type\": [\"string\", \"number\"], \"description\": \(quoted(doc))}"
        }
    }

    static func integer(_ range: ClosedRange<Int>, _ doc: String) -> String { typed("integer", range, doc, "") }

    private static func typed(_ type: String, _ range: ClosedRange<Int>, _ doc: String, _ more: String) -> String {
        "{\"type\": \"\(type)\", \"minimum\": \(range.lowerBound), \"maximum\": \(range.upperBound)\(more), "
            + "\"description\": \(quoted(doc))}"
    }

    private static func pattern(_ pattern: String, _ doc: String) -> String {
        "{\"type\": \"string\", \"pattern\": \(quoted(pattern)), \"description\": \(quoted(doc))}"
    }

    static func any(_ schemas: [String]) -> String { "{\"anyOf\": [\(schemas.joined(separator: ", "))]}" }

    static func list(_ element: String, _ most: Int) -> String {
        "{\"type\": \"array\", \"minItems\": 1, \"maxItems\": \(most), \"items\": \(element)}"
    }

    static func object(_ properties: [(String, String)], required: [String] = [], head: [String] = []) -> String {
        // A key without a value counts as not given.
        let entries = properties.map { "\(quoted($0.0)): \(any([$0.1, "{\"type\": \"null\"}"]))" }
        let parts =
            head + [
                "\"type\": \"object\"", "\"additionalProperties\": false",
                "\"properties\": {\(entries.joined(separator: ",\n"))}",
            ] + (required.isEmpty ? [] : ["\"required\": [\(required.map(quoted).joined(separator: ", "))]"])
        return "{\(parts.joined(separator: ",\n"))}"
    }

    private static func quoted(_ text: String) -> String {
        "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }
}
