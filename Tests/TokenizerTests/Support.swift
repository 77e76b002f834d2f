// Where the fixtures are, and what is in them.

import Foundation
import Jinja
import Tokenizer

/// The fixtures beside this file.
let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures")

/// The package's own folder.
let packageRoot = fixtures.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

/// The names of the self-trained tokenizers among the fixtures.
let trained = ["llama3", "llama31", "qwen2", "gpt2", "digits", "llama2", "metaspace"]

/// A shared data folder that not every checkout has: `WINNOW_SHARED`, or `shared` beside the package.
let shared =
    ProcessInfo.processInfo.environment["WINNOW_SHARED"].map { URL(fileURLWithPath: $0) }
    ?? packageRoot.deletingLastPathComponent().appendingPathComponent("shared")

/// What Hugging Face's tokenizers library made of one text.
struct TextCase: Codable {
    var text: String
    /// With special tokens added and parsed.
    var ids: [Int32]
    /// With none added, none parsed.
    var literal: [Int32]
    var decoded: String
    var withSpecial: String
}

/// A conversation as its jinja template renders it, and the tokens of that text.
struct ChatCase: Codable {
    struct Message: Codable {
        var role: String
        var content: String
    }
    var messages: [Message]
    var text: String
    var ids: [Int32]

    var chat: [ChatMessage] { messages.map { ChatMessage(role: $0.role, content: $0.content) } }
}

struct Cases: Codable {
    var cases: [TextCase]
    var chats: [ChatCase]

    init(_ name: String) throws {
        self = try JSONDecoder().decode(Self.self, from: Data(contentsOf: fixtures.appendingPathComponent(name)))
    }
}

func loadTokenizer(_ name: String) throws -> Tokenizer {
    try Tokenizer(directory: fixtures.appendingPathComponent(name).path)
}

/// A directory that is removed with the object.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("winnow-\(UUID())").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ text: String, _ name: String) throws {
        let file = URL(fileURLWithPath: path).appendingPathComponent(name)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
    }

    func write(_ bytes: [UInt8], _ name: String) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: path).appendingPathComponent(name))
    }
}

extension Tokenizer {
    /// The text that a conversation's tokens are made of.
    func render(chat conversation: Conversation, clock: Clock = .system) throws(TokenizerError) -> String {
        try text(of: conversation, clock: clock).string
    }
}

/// A copy of a fixture's `tokenizer.json` with a chat template and other files beside it.
func loadTokenizer(_ name: String, template: String?, _ files: [String: String] = [:]) throws -> Tokenizer {
    let folder = try TemporaryDirectory()
    let source = fixtures.appendingPathComponent(name)
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        try folder.write(String(contentsOf: source.appendingPathComponent(file), encoding: .utf8), file)
    }
    if let template { try folder.write(template, "chat_template.jinja") }
    for (file, text) in files { try folder.write(text, file) }
    return try Tokenizer(directory: folder.path)
}

/// Numbers that depend on the seed only.
struct Chance: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}

/// A text of up to `length` characters from many scripts, with marks of templates between them.
func randomText(_ chance: inout Chance, length: Int = 60) -> String {
    let parts =
        Array("abc xyz\n\t 0123'.,!?-_<|>[]/ÄéßжΩ中文한🦙👩‍👧\u{301}\u{2581}\u{A0}\u{200D}").map(String.init) + [
            "<|eot_id|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "<unk>", "[INST]", "<<SYS>>", "<0x41>", "  ",
            " the",
            "<|start_header_id|>", "<|endoftext|>", "<|begin_of_text|>", "<|end|>", "word",
        ]
    return (0..<Int.random(in: 0...length, using: &chance)).map { _ in parts.randomElement(using: &chance) ?? "" }
        .joined()
}

/// The character that byte-level vocabularies write for each byte.
func byteAlphabet() -> [String] {
    var extra = 0
    return (0..<256).map { byte in
        if (33...126).contains(byte) || (161...172).contains(byte) || byte >= 174 {
            return String(Unicode.Scalar(UInt8(byte)))
        }
        defer { extra += 1 }
        return Unicode.Scalar(UInt32(256 + extra)).map(String.init) ?? ""
    }
}
