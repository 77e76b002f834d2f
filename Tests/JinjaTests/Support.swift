// Values from JSON whose objects keep their order, and where the fixtures are.

import Foundation
import Jinja

/// The fixtures beside this file.
let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures")

/// A shared data folder that not every checkout has: `WINNOW_SHARED`, or `shared` beside the package.
let shared =
    ProcessInfo.processInfo.environment["WINNOW_SHARED"].map { URL(fileURLWithPath: $0) }
    ?? fixtures.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("shared")

/// The time in the fixtures.
let noon = Clock.fixed(year: 2026, month: 7, day: 4, hour: 12)

/// JSON that a test trusts.
enum JSON {
    case null
    case boolean(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSON])
    case object([(key: String, value: JSON)])

    subscript(key: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.key == key }?.value
    }

    var string: String? { if case .string(let text) = self { text } else { nil } }
    var array: [JSON] { if case .array(let items) = self { items } else { [] } }
    var object: [(key: String, value: JSON)] { if case .object(let members) = self { members } else { [] } }

    init(parsing text: String) throws {
        var parser = Parser(rest: Array(text.utf8)[...])
        self = try parser.value()
    }

    /// As a template gets it; strings and keys have the origin given.
    func value(_ origin: Origin = Origin(owner: 1, isInput: true)) throws -> Value {
        func text(_ string: String) -> Text { Text(Array(string.utf8), origin: origin) }
        switch self {
        case .null: return .none
        case .boolean(let flag): return .boolean(flag)
        case .integer(let number): return .integer(number)
        case .number(let number): return .float(number)
        case .string(let string): return .text(text(string))
        case .array(let items): return try .array(items.map { try $0.value(origin) })
        case .object(let members):
            let entries = try members.map { (key: text($0.key), value: try $0.value.value(origin)) }
            return try .mapping(entries, owner: origin.owner)
        }
    }

    private struct Parser {
        var rest: ArraySlice<UInt8>
        struct Fault: Error {}

        mutating func skipSpace() { rest = rest.drop { $0 == 0x20 || $0 == 0x0A || $0 == 0x0D || $0 == 0x09 } }

        mutating func take(_ byte: Character) -> Bool {
            skipSpace()
            guard rest.first == byte.asciiValue else { return false }
            rest.removeFirst()
            return true
        }

        mutating func value() throws -> JSON {
            if take("{") {
                var members: [(key: String, value: JSON)] = []
                while !take("}") {
                    if !members.isEmpty, !take(",") { throw Fault() }
                    guard case .string(let key) = try value(), take(":") else { throw Fault() }
                    members.append((key, try value()))
                }
                return .object(members)
            }
            if take("[") {
                var items: [JSON] = []
                while !take("]") {
                    if !items.isEmpty, !take(",") { throw Fault() }
                    items.append(try value())
                }
                return .array(items)
            }
            // Scalars are Foundation's to read.
            guard let first = rest.first else { throw Fault() }
            var end = rest.startIndex
            if first == 0x22 {
                end += 1
                while end < rest.endIndex, rest[end] != 0x22 { end += rest[end] == 0x5C ? 2 : 1 }
                end += 1
            } else {
                while end < rest.endIndex, !",]}\n \r\t".utf8.contains(rest[end]) { end += 1 }
            }
            guard end <= rest.endIndex else { throw Fault() }
            let token = Data(rest[..<end])
            rest = rest[end...]
            if first == 0x22 { return .string(try JSONDecoder().decode(String.self, from: token)) }
            let word = String(decoding: token, as: UTF8.self)
            switch word {
            case "null": return .null
            case "true", "false": return .boolean(word == "true")
            default:
                if let integer = Int(word) { return .integer(integer) }
                guard let number = Double(word) else { throw Fault() }
                return .number(number)
            }
        }
    }
}

/// The text of a template for some variables, at noon.
func render(_ template: String, _ variables: [(String, Value)] = [], limits: Limits = Limits()) throws -> Text {
    try Template(template).render(variables, clock: noon, limits: limits)
}

/// What is wrong with a template, or with what it does; nil when nothing is.
func fault(_ template: String, _ variables: [(String, Value)] = [], limits: Limits = Limits()) -> TemplateError? {
    do {
        _ = try render(template, variables, limits: limits)
        return nil
    } catch {
        return error as? TemplateError
    }
}
