// The flags of a process, made from the table of settings.

import ArgumentParser
import Launcher
import OutsideText
import Settings

/// Whose settings become flags.
protocol SettingOwner: Sendable {
    static var process: Setting.Process { get }
    /// Which of them; the rest the command has as options of its own, or not at all.
    static func has(_ setting: Setting) -> Bool
    /// Whether a document may say them too.
    static var hasDocument: Bool { get }
}

extension SettingOwner {
    static func has(_ setting: Setting) -> Bool { true }
    static var hasDocument: Bool { true }
}

/// A flag for every setting of a process, and `--config` for a document that says the same.
///
/// The parser finds flags by looking at the properties of a value. This one shows it the entries of the table instead.
struct SettingFlags<Owner: SettingOwner>: ParsableArguments, CustomReflectable {
    /// What the command line says, nothing of defaults or documents.
    private(set) var said = SettingValues(Owner.process)
    private var config: String?
    private var printsConfig = false

    init() {}

    private static var settings: [Setting] { Setting.all(of: Owner.process).filter(Owner.has) }

    private static var configOption: Option<String?> {
        Option(
            name: .customLong("config"),
            help: ArgumentHelp(
                "A YAML file that says the same as flags do, `look_ahead: 8` for --look-ahead 8; flags go before it.",
                valueName: "file"))
    }

    private static var printOption: Flag<Bool> {
        Flag(
            wrappedValue: false, name: .customLong("print-config"),
            help: "Print the flags and the document that were given as one document, and end.")
    }

    var customMirror: Mirror {
        var children: [Mirror.Child] = Self.settings.map { ($0.name, $0.property) }
        if Owner.hasDocument {
            children += [("config", Self.configOption), ("printConfig", Self.printOption)]
        }
        return Mirror(self, children: children)
    }

    private struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        for setting in Self.settings {
            let key = Key(stringValue: setting.name)
            if case .boolean = setting.kind {
                let isSet = try container.decode(Flag<Bool?>.self, forKey: key).wrappedValue
                said.set(setting.name, isSet.map { "\($0)" })
            } else if setting.kind.isList {
                said.set(setting.name, to: try container.decode(Option<[String]>.self, forKey: key).wrappedValue)
            } else {
                said.set(setting.name, try container.decode(Option<String?>.self, forKey: key).wrappedValue)
            }
        }
        guard Owner.hasDocument else { return }
        config = try container.decode(Option<String?>.self, forKey: Key(stringValue: "config")).wrappedValue
        printsConfig = try container.decode(Flag<Bool>.self, forKey: Key(stringValue: "printConfig")).wrappedValue
    }

    func validate() throws {
        for setting in Self.settings {
            for text in said.said(setting.name) {
                guard let problem = setting.problem(with: text) else { continue }
                throw ValidationError(problem.text(flag: setting.flag))
            }
        }
    }

    /// What holds: the flags, and where they say nothing the document.
    ///
    /// - Throws: what is wrong with the document, or with both together; said on standard error, or as wrong usage.
    func values() throws -> SettingValues {
        let values = try merged()
        guard printsConfig else { return values }
        Console.write(values.document)
        throw ExitCode.success
    }

    private func merged() throws -> SettingValues {
        guard let config else {
            try check(said) { _ in nil }
            return said
        }
        let document: ConfigurationDocument
        do {
            document = try ConfigurationDocument(contentsOf: config, of: Owner.process)
        } catch {
            throw Console.failure(.badData, "\(error)")
        }
        let values = said.over(document.values)
        try check(values) { said.isSaid($0) ? nil : document.lines[$0].map { "\(config.shown(upTo: 1000)):\($0)" } }
        return values
    }

    /// Refuses settings that do not go together.
    ///
    /// - Parameter place: Where the document says a setting that no flag does.
    private func check(_ values: SettingValues, place: (String) -> String?) throws {
        guard let conflict = values.conflicts.first else { return }
        if let place = place(conflict.name) {
            throw Console.failure(.badData, "\(place): \(conflict.name): \(conflict.problem). \(conflict.fix)")
        }
        let fix = conflict.fix.prefix(1).lowercased() + conflict.fix.dropFirst()
        var text = "--\(conflict.name.replacing("_", with: "-")) \(conflict.problem); \(fix)"
        for setting in Setting.all(of: Owner.process) {
            text = text.replacing("`\(setting.name)`", with: "--\(setting.flag)")
        }
        throw ValidationError(text)
    }
}

extension Setting.Problem {
    /// The whole of it, for a flag.
    func text(flag: String) -> String {
        "--\(flag) \(problem); \(hint.map { $0.prefix(1).lowercased() + $0.dropFirst() } ?? "write for example"): --\(flag) \(example)"
    }
}

extension Setting {
    /// What the parser takes for one of the properties of its arguments.
    fileprivate var property: any Sendable {
        let shown = fallback.map { kind == .boolean ? "" : " (default: \($0))" } ?? ""
        let help = ArgumentHelp("\(doc)\(shown)", valueName: valueName)
        let name = NameSpecification.customLong(flag)
        switch kind {
        case .boolean: return Flag<Bool?>(name: name, inversion: .prefixedNo, help: help)
        case .list(.origin, _):
            return Option<[String]>(wrappedValue: [], name: name, parsing: .upToNextOption, help: help)
        case .list: return Option<[String]>(wrappedValue: [], name: name, parsing: .singleValue, help: help)
        default: return Option<String?>(name: name, help: help)
        }
    }
}
