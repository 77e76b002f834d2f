import ArgumentParser
import Foundation
import OutsideText
import Tokenizer

/// `winnow model tokenize`: a model's tokenizer by hand.
struct ModelTokenizeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize",
        abstract: "Turn text into a model's token ids, or ids into text.",
        discussion: """
            Reads standard input to its end. The text is taken as it is, a line break at its end included. The ids go to \
            standard output with a space between, with --pieces one a line, each with what it stands for; with --decode \
            it is the other way round.

              printf 'Call me Ishmael.' | winnow model tokenize cluster/models/needle-main-2m
              echo '0 36 375 421' | winnow model tokenize --decode cluster/models/needle-main-2m
            """)

    @Argument(help: ArgumentHelp("A model directory, or a GGUF file.", valueName: "dir|file.gguf"))
    var path: String

    @Flag(help: "Take ids, separated by white space or commas, and print their text.")
    var decode = false

    @Flag(
        help: ArgumentHelp(
            "Without special tokens: BOS and its like are neither put around a text nor shown in a decoded one."))
    var noSpecial = false

    @Flag(help: "Marks such as <|eot_id|> in the text are text, not the tokens they name.")
    var literal = false

    @Flag(help: "Print an id and its text on each line.")
    var pieces = false

    @Flag(help: "Print one JSON object.")
    var json = false

    /// Most bytes of standard input.
    private static let longestInput = 1 << 28

    func validate() throws {
        guard !(decode && literal) else { throw ValidationError("--literal is for text, --decode takes ids") }
        guard !(json && pieces) else { throw ValidationError("--json holds the pieces; leave --pieces out") }
    }

    func run() async throws {
        let tokenizer: Tokenizer
        do {
            tokenizer = try Tokenizer(modelPath: path)
        } catch {
            throw Console.failure(.badData, "\(error)".shown(upTo: 1000))
        }
        let text = try readInput()
        let ids =
            decode
            ? try ids(in: text, of: tokenizer)
            : tokenizer.encode(text, addSpecialTokens: !noSpecial, parseSpecialTokens: !literal)
        if json {
            try printJSON(ids, text, tokenizer)
        } else if pieces {
            for id in ids { Console.say("\(id)\t\(Self.piece(id, tokenizer))") }
        } else if decode {
            Console.write(tokenizer.decode(ids, skipSpecialTokens: noSpecial))
        } else {
            Console.say(ids.map(String.init).joined(separator: " "))
        }
    }

    private func readInput() throws -> String {
        let data: Data
        do {
            data = try FileHandle.standardInput.read(upToCount: Self.longestInput + 1) ?? Data()
        } catch {
            throw Console.failure(.badData, "cannot read standard input: \(error.localizedDescription)")
        }
        guard data.count <= Self.longestInput else {
            throw Console.failure(.badData, "standard input has more than \(Self.longestInput) bytes")
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw Console.failure(.badData, "standard input is not UTF-8 text")
        }
        return text
    }

    /// The ids that the text lists, in brackets or not.
    private func ids(in text: String, of tokenizer: Tokenizer) throws -> [Int32] {
        let words = text.split { $0.isWhitespace || $0 == "," || $0 == "[" || $0 == "]" }
        return try words.map { word in
            guard let id = Int32(word), id >= 0, Int(id) < tokenizer.vocabularySize else {
                throw Console.failure(
                    .badData,
                    "expected token ids from 0 to \(tokenizer.vocabularySize - 1), found \"\(word.shown)\"")
            }
            return id
        }
    }

    /// A token as text that fits a line; bytes that are no characters by themselves in hexadecimal.
    private static func piece(_ id: Int32, _ tokenizer: Tokenizer) -> String {
        let bytes = tokenizer.bytes(of: id)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            return bytes.map { "<0x" + ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) + ">" }.joined()
        }
        return text.debugDescription
    }

    private struct Facts: Encodable {
        var count: Int
        var tokens: [Int32]
        var pieces: [String]
        var text: String
    }

    private func printJSON(_ ids: [Int32], _ text: String, _ tokenizer: Tokenizer) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let facts = Facts(
            count: ids.count, tokens: ids, pieces: ids.map { Self.piece($0, tokenizer) },
            text: decode ? tokenizer.decode(ids, skipSpecialTokens: noSpecial) : text)
        Console.say(String(decoding: try encoder.encode(facts), as: UTF8.self))
    }
}
