// Any bytes as a tokenizer's file: they are refused, or texts become ids and ids become text within their bounds.
//
// What begins with "GGUF" is a GGUF vocabulary; with "pieces", a line each of a SentencePiece vocabulary, to which the
// tokens of all bytes are added; all else is tokenizer.json.

import Glibc
import Tokenizer

/// The only kind that is fed; nil: all.
private let only = getenv("WINNOW_FUZZ_ONLY").map { String(cString: $0) }
/// A directory in memory, for the life of the process.
private let folder: String = {
    let path = "/dev/shm/winnow-fuzz-tokenizers-\(getpid())"
    mkdir(path, 0o700)
    atexit {
        for name in ["tokenizer.json", "v.gguf"] { unlink("/dev/shm/winnow-fuzz-tokenizers-\(getpid())/\(name)") }
        rmdir("/dev/shm/winnow-fuzz-tokenizers-\(getpid())")
    }
    return path
}()

private func write(_ bytes: some Sequence<UInt8>, _ name: String) -> String {
    let path = "\(folder)/\(name)"
    guard let file = fopen(path, "w") else { return path }
    let all = Array(bytes)
    fwrite(all, 1, all.count, file)
    fclose(file)
    return path
}

/// A SentencePiece vocabulary with these pieces, their scores falling from the first to the last.
private func sentencePiece(_ pieces: [String]) -> [UInt8] {
    func little(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    func text(_ text: String) -> [UInt8] { little(UInt64(text.utf8.count)) + Array(text.utf8) }
    func array(_ key: String, _ type: UInt32, _ values: [[UInt8]]) -> [UInt8] {
        text(key) + little(UInt32(9)) + little(type) + little(UInt64(values.count)) + values.flatMap { $0 }
    }
    let bytes = (0..<256).map { "<0x" + ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) + ">" }
    let tokens = ["<unk>", "<s>", "</s>"] + bytes + pieces
    let types: [Int32] = tokens.indices.map { $0 == 0 ? 2 : $0 < 3 ? 3 : $0 < 259 ? 6 : 1 }
    return Array("GGUF".utf8) + little(UInt32(3)) + little(UInt64(0)) + little(UInt64(4))
        + text("tokenizer.ggml.model") + little(UInt32(8)) + text("llama")
        + array("tokenizer.ggml.tokens", 8, tokens.map(text))
        + array("tokenizer.ggml.scores", 6, tokens.indices.map { little(Float(-$0).bitPattern) })
        + array("tokenizer.ggml.token_type", 5, types.map(little))
}

private let texts = [
    "", " ", "Hello, World's  end 12345\r\n\n\té e\u{301} 中文🧑‍💻 \u{2581}<s></s><|x|><0x41>\0\u{FFFD}\u{31350}",
    String(repeating: "a", count: 300), String(repeating: " \n", count: 100),
]

private func exercise(_ tokenizer: Tokenizer, _ input: String) {
    let count = Int32(clamping: tokenizer.vocabularySize)
    for text in texts + [String(input.prefix(512))] {
        for (adds, parses) in [(true, true), (false, false)] {
            let ids = tokenizer.encode(text, addSpecialTokens: adds, parseSpecialTokens: parses)
            precondition(ids.allSatisfy { 0 <= $0 && $0 < count }, "an id that no token has")
            precondition(ids.count <= 64 * text.utf8.count + 128, "more tokens than a text may become")
            let whole = tokenizer.decode(ids, skipSpecialTokens: false)
            var stream = StreamingDetokenizer(tokenizer: tokenizer, skipSpecialTokens: false)
            let streamed = ids.map { stream.append($0) }.joined() + stream.finish()
            precondition(
                Array(whole.utf8) == Array(streamed.utf8) || whole.contains("\u{FFFD}"), "the stream says another text")
        }
    }
    let some = (0..<min(count, 600)).reversed() + [-1, count, .max]
    _ = tokenizer.decode(Array(some))
    precondition(tokenizer.fingerprint.count == 64)
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzTokenizers(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeBufferPointer(start: start, count: count)
    let text = String(decoding: input, as: UTF8.self)
    let kind = text.hasPrefix("pieces") ? "pieces" : input.starts(with: "GGUF".utf8) ? "gguf" : "json"
    if let only, only != kind { return -1 }
    do {
        switch kind {
        case "pieces":
            let pieces = text.split(separator: "\n", omittingEmptySubsequences: true).dropFirst().map(String.init)
            exercise(try Tokenizer(modelPath: write(sentencePiece(pieces), "v.gguf")), text)
        case "gguf":
            exercise(try Tokenizer(modelPath: write(input, "v.gguf")), text)
        default:
            _ = write(input, "tokenizer.json")
            exercise(try Tokenizer(directory: folder), text)
        }
    } catch {
        precondition(!"\(error)".isEmpty, "an error without words")
    }
    return 0
}
