// What a setting's value may be, and what is said of one that it may not.

internal import Layers
internal import OutsideText
internal import Wire

/// The type of a setting's value, with its range.
public indirect enum SettingKind: Sendable, Equatable {
    /// A whole number.
    case integer(ClosedRange<Int>)
    /// An odd whole number.
    case odd(ClosedRange<Int>)
    /// A share over 0, at most 1.
    case share
    /// One of a few words; `what` names their kind.
    case choice(what: String, [String])
    /// `true` or `false`; on the command line `--name` or `--no-name`.
    case boolean
    /// Any text of one line.
    case text
    /// A model: a directory in Hugging Face's layout or a GGUF file.
    case model
    /// The path of a file.
    case file
    /// The path of a folder, or ``noFolder``.
    case folder
    /// `tcp://HOST:PORT` or `ipc://PATH`.
    case endpoint
    /// `HOST:PORT`.
    case address
    /// A name or address that other hosts can connect to.
    case host
    /// CPUs as `taskset` writes them.
    case cpus
    /// Layers, first and last, either of which may be there in part, as ``LayerSpan`` spells them; or `auto`.
    case layers
    /// The name of a pipeline.
    case pipelineName
    /// A pipeline and the number of its stages.
    case pipelineShape
    /// The origin of web pages.
    case origin
    /// Up to so many values.
    case list(SettingKind, most: Int)

    /// Layers are below this.
    static let mostLayers = 4096
    /// What is said instead of a folder for none.
    public static let noFolder = "none"

    /// The type of one value.
    public var element: SettingKind { if case .list(let element, _) = self { element } else { self } }

    /// Whether several values can be given.
    public var isList: Bool { if case .list = self { true } else { false } }

    var valueName: String {
        switch self {
        case .integer, .odd: "n"
        case .share: "rate"
        case .choice(let what, _): what.split(separator: " ").last.map(String.init) ?? "word"
        case .boolean: "true"
        case .text: "text"
        case .model: "path"
        case .file: "file"
        case .folder: "dir|none"
        case .endpoint: "endpoint"
        case .address: "host:port"
        case .host: "host"
        case .cpus: "list"
        case .layers: "layers"
        case .pipelineName: "name"
        case .pipelineShape: "name=stages"
        case .origin: "origin"
        case .list(let element, _): element.valueName
        }
    }

    /// A value that would do.
    var example: String {
        switch self {
        case .integer(let range): String(range.lowerBound)
        case .odd: "13"
        case .share: "0.1"
        case .choice(_, let words): words.first ?? ""
        case .boolean: "true"
        case .text: "needle"
        case .model: "models/main"
        case .file: "trace.json"
        case .folder: "none"
        case .endpoint: "\"tcp://127.0.0.1:*\""
        case .address: "127.0.0.1:8080"
        case .host: "node7"
        case .cpus: "0-3,6"
        case .layers: "0-3"
        case .pipelineName: "fast"
        case .pipelineShape: "fast=2"
        case .origin: "https://app.example.com"
        case .list(let element, _): element.example
        }
    }

    func problem(with text: String, unit: Setting.Unit?, example known: String?) -> Setting.Problem? {
        func problem(_ problem: String) -> Setting.Problem {
            Setting.Problem(problem: problem, example: known ?? example)
        }
        let found = "found `\(text.shown)`"
        switch self {
        case .integer(let range), .odd(let range):
            guard let value = Int(text), range.contains(value) else {
                return outOfRange(text, range, unit)
            }
            if case .odd = self, value % 2 == 0 { return problem("must be odd, \(found)") }
        case .share:
            guard let share = Double(text), share > 0, share <= 1 else {
                var problem = problem("must be over 0 and at most 1, \(found)")
                if text.hasSuffix("%"), let percent = Double(text.dropLast()), percent > 0, percent <= 100 {
                    problem.example = "\(percent / 100)"
                }
                return problem
            }
        case .choice(let what, let words):
            guard words.contains(text) else {
                let near = NearestWord.to(text, among: words)
                return Setting.Problem(
                    problem: "there is no \(what) `\(text.shown)`", example: near ?? known ?? words.first ?? "",
                    hint: "Known are \(words.joined(separator: ", ")), so write for example")
            }
        case .boolean:
            guard ["true", "false"].contains(text) else { return problem("must be true or false, \(found)") }
        case .text, .model, .file, .folder: break
        case .endpoint:
            do { _ = try Endpoint(text) } catch { return problem("must be an endpoint, found \(error)") }
        case .address:
            guard Self.isHostAndPort(text) else { return problem("must be HOST:PORT, \(found)") }
        case .host:
            guard let host = Host(HostAddress.bracketed(text)), !host.isWildcard else {
                return problem("must be a host other hosts can connect to, \(found)")
            }
        case .cpus:
            for part in text.split(separator: ",", omittingEmptySubsequences: false)
            where Self.range(part, below: 4096) == nil {
                return problem("must be a list of CPUs, found `\(part.shown)`")
            }
        case .layers:
            guard text == "auto" || LayerSpan(text, below: Self.mostLayers) != nil else {
                return problem("must be FIRST-LAST, both inclusive, or auto, \(found)")
            }
        case .pipelineName:
            guard Self.isName(text) else {
                return problem("must be 1 to 64 letters, digits, `-`, `_` and `.`, \(found)")
            }
        case .pipelineShape:
            guard let (_, stages) = Self.pipeline(text) else { return problem("must be NAME=STAGES, \(found)") }
            guard Setting.stageRange.contains(stages) else {
                let range = Setting.stageRange
                return problem(
                    "the stages of a pipeline must be \(range.lowerBound) to \(range.upperBound), found \(stages)")
            }
        case .origin:
            guard ["*", "null"].contains(text) || text.contains("://") && !text.hasPrefix("-") else {
                return problem("must be the origin of web pages, \(found)")
            }
        case .list(let element, _): return element.problem(with: text, unit: unit, example: known)
        }
        return nil
    }

    /// A number that is none, or is too small or too large, or has its unit written behind it.
    private func outOfRange(_ text: String, _ range: ClosedRange<Int>, _ unit: Setting.Unit?) -> Setting.Problem {
        let kind = unit.map { "a whole number of \($0.rawValue)" } ?? "a whole number"
        let problem = "must be \(kind) from \(range.lowerBound) to \(range.upperBound), found `\(text.shown)`"
        guard let unit, let value = Quantity(text)?.count(unit), range.contains(value) else {
            let near = Int(text).map { min(max($0, range.lowerBound), range.upperBound) } ?? range.lowerBound
            return Setting.Problem(problem: problem, example: String(near))
        }
        return Setting.Problem(
            problem: problem, example: String(value), hint: "Write the number of \(unit.rawValue) alone")
    }

    /// Whether `text` is `HOST:PORT` (an IPv6 host in brackets), port 0 to 65535.
    public static func isHostAndPort(_ text: String) -> Bool {
        guard let colon = text.lastIndex(of: ":"), colon > text.startIndex else { return false }
        let host = text[..<colon]
        let bracketed = host.hasPrefix("[") && host.hasSuffix("]")
        guard bracketed || !host.contains(":"), !host.contains(where: \.isWhitespace) else { return false }
        return UInt16(text[text.index(after: colon)...]) != nil
    }

    /// Whether a pipeline can be called so: letters, digits, `-`, `_` and `.`, 1 to 64 of them.
    public static func isName(_ name: some StringProtocol) -> Bool {
        (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }

    /// The parts of `fast=2`.
    public static func pipeline(_ text: String) -> (name: String, stages: Int)? {
        guard let mark = text.lastIndex(of: "="), let stages = Int(text[text.index(after: mark)...]),
            isName(text[..<mark])
        else { return nil }
        return (String(text[..<mark]), stages)
    }

    /// Both ends of `2-5`, or of `2`.
    static func range(_ text: some StringProtocol, below limit: Int) -> ClosedRange<Int>? {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
        guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2, first <= last, last < limit
        else { return nil }
        return Int(first)...Int(last)
    }
}

/// A number with a unit behind it, such as `10s` or `16 MiB`: refused, but understood.
private struct Quantity {
    var value: Double
    var unit: String

    init?(_ text: String) {
        let number = text.prefix { $0.isNumber || $0 == "." }
        guard !number.isEmpty, let value = Double(number) else { return nil }
        self.value = value
        unit = text.dropFirst(number.count).filter { !$0.isWhitespace }.lowercased()
        guard !unit.isEmpty else { return nil }
    }

    /// How many of `unit` it is, if it is a whole number of them.
    func count(_ unit: Setting.Unit) -> Int? {
        let factors: [String: Double] =
            switch unit {
            case .seconds: ["ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600]
            case .bytes:
                [
                    "b": 1, "k": 0x1p10, "kb": 1e3, "kib": 0x1p10, "m": 0x1p20, "mb": 1e6, "mib": 0x1p20,
                    "g": 0x1p30, "gb": 1e9, "gib": 0x1p30,
                ]
            case .tokens, .requests, .threads, .stages: ["k": 1000, "m": 1_000_000]
            }
        guard let factor = factors[self.unit] ?? (self.unit == unit.rawValue ? 1 : nil) else { return nil }
        return Int(exactly: (value * factor).rounded(.up))
    }
}
