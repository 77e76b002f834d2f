// What has been said of one process's settings.

public import Layers

/// Values of settings as they are written, each checked by the table. What is not said has its default.
public struct SettingValues: Equatable, Sendable {
    /// Whose settings they are.
    public let process: Setting.Process
    private var texts: [String: [String]] = [:]

    /// Nothing said.
    public init(_ process: Setting.Process) { self.process = process }

    /// Says one value, or takes it back with nil.
    ///
    /// - Precondition: the process has the setting. The value is taken as it is; ``Setting/problem(with:)`` says before
    ///   whether it may be.
    public mutating func set(_ name: String, _ value: String?) { set(name, to: value.map { [$0] } ?? []) }

    /// Says all values of a setting that takes several.
    public mutating func set(_ name: String, to values: [String]) {
        _ = setting(name)
        texts[name] = values.isEmpty ? nil : values
    }

    /// The values that were said, none of the defaults.
    public func said(_ name: String) -> [String] { texts[setting(name).name] ?? [] }

    /// Whether anything was said.
    public func isSaid(_ name: String) -> Bool { !said(name).isEmpty }

    /// What was said, in the table's order.
    public var saidSettings: [Setting] { Setting.all(of: process).filter { texts[$0.name] != nil } }

    /// The value that holds: what was said, or the default.
    public func text(_ name: String) -> String? { said(name).last ?? setting(name).fallback }

    /// The number that holds.
    public func integer(_ name: String) -> Int? { text(name).flatMap { Int($0) } }

    /// The share that holds.
    public func number(_ name: String) -> Double? { text(name).flatMap { Double($0) } }

    /// Whether it holds.
    public func boolean(_ name: String) -> Bool { text(name) == "true" }

    /// The CPUs that hold, in the order they are written.
    public func numbers(_ name: String) -> [Int]? {
        text(name).map { text in
            text.split(separator: ",").flatMap { part in SettingKind.range(part, below: 4096).map(Array.init) ?? [] }
        }
    }

    /// The layers of a worker; nil where nothing or `auto` is said.
    public var layers: LayerSpan? { text("layers").flatMap { LayerSpan($0, below: SettingKind.mostLayers) } }

    /// These values, and where nothing is said those of `base`.
    public func over(_ base: SettingValues) -> SettingValues {
        var merged = self
        for (name, values) in base.texts where merged.texts[name] == nil { merged.texts[name] = values }
        return merged
    }

    /// Puts another path for each that was said.
    public mutating func movePaths(_ path: (String) -> String) {
        for setting in saidSettings where [.model, .file, .folder].contains(setting.kind) {
            texts[setting.name] = texts[setting.name]?.map { text in
                setting.kind == .folder && text == SettingKind.noFolder ? text : path(text)
            }
        }
    }

    /// What was said as the words of a command line, in the table's order.
    public var words: [String] {
        saidSettings.flatMap { setting -> [String] in
            let values = texts[setting.name] ?? []
            let flag = "--\(setting.flag)"
            switch setting.kind {
            case .boolean: return values.last == "true" ? [flag] : ["--no-\(setting.flag)"]
            case .list(.origin, _): return [flag] + values
            case .list: return values.flatMap { [flag, $0] }
            default: return [flag, values.last ?? ""]
            }
        }
    }

    /// What was said as a configuration document: `winnow worker --config FILE` reads it back.
    public var document: String {
        saidSettings.map { setting in
            let values = texts[setting.name] ?? []
            let text =
                setting.kind.isList
                ? "[\(values.map(Self.quoted).joined(separator: ", "))]"
                : setting.kind.isPlain ? values.last ?? "" : Self.quoted(values.last ?? "")
            return "\(setting.name): \(text)\n"
        }.joined()
    }

    /// A text as YAML reads it back: in double quotes.
    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\\(scalar)"
            case _ where scalar.value < 32 || scalar.value == 127:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\x" + String(repeating: "0", count: 2 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }

    private func setting(_ name: String) -> Setting {
        guard let setting = Setting.named(name, of: process) else {
            preconditionFailure("the table of settings has no \(name) of \(process)")
        }
        return setting
    }
}

extension SettingKind {
    /// Whether its values are written without quotes.
    fileprivate var isPlain: Bool {
        switch self {
        case .integer, .odd, .share, .boolean, .choice: true
        default: false
        }
    }
}
