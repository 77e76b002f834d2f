// Token for token what Hugging Face's tokenizers library gives.

import Foundation
import Testing
import Tokenizer

struct ParityTests {
    @Test(arguments: trained)
    func trainedTokenizersAgree(name: String) throws {
        try check(loadTokenizer(name), Cases("\(name)/cases.json"))
    }

    @Test(arguments: ["needle-main-2m", "stories260K"])
    func shippedModelsAgree(name: String) throws {
        let directory = packageRoot.appendingPathComponent("cluster/models/\(name)")
        try check(Tokenizer(directory: directory.path), Cases("models/\(name).json"))
    }

    private func check(_ tokenizer: Tokenizer, _ cases: Cases) throws {
        #expect(cases.cases.count > 100)
        for entry in cases.cases {
            let text = entry.text
            // `tokenizers` puts a second BOS before a text that begins with one; no model was trained on that.
            let added = tokenizer.specialTokens(around: []).before
            let isDoubled = tokenizer.bosToken.map { added.contains($0) && entry.ids.starts(with: [$0, $0]) } ?? false
            let expected = isDoubled ? Array(entry.ids.dropFirst()) : entry.ids
            #expect(tokenizer.encode(text) == expected, "\(text.debugDescription)")
            let literal = tokenizer.encode(text, addSpecialTokens: false, parseSpecialTokens: false)
            #expect(literal == entry.literal, "literally \(text.debugDescription)")
            // Compared as bytes: canonically equivalent texts are not the same text.
            let decoded = tokenizer.decode(entry.ids)
            #expect(Array(decoded.utf8) == Array(entry.decoded.utf8), "\(decoded.debugDescription)")
            let whole = tokenizer.decode(entry.ids, skipSpecialTokens: false)
            #expect(Array(whole.utf8) == Array(entry.withSpecial.utf8), "\(whole.debugDescription)")
        }
    }

    @Test func specialTokensAreKnown() throws {
        let llama3 = try loadTokenizer("llama3")
        #expect(llama3.bosToken.map { llama3.bytes(of: $0) } == Array("<|begin_of_text|>".utf8))
        #expect(llama3.eosToken.map { llama3.bytes(of: $0) } == Array("<|eot_id|>".utf8))
        #expect(llama3.bosToken.map(llama3.isSpecial) == true)
        let qwen2 = try loadTokenizer("qwen2")
        #expect(qwen2.bosToken == nil)
        // Written as an object in its tokenizer_config.json.
        #expect(try loadTokenizer("gpt2").bosToken == 602)
        #expect(try loadTokenizer("llama2").bosToken == 1)
    }

    @Test func fingerprintsTellTokenizersApart() throws {
        let prints = try trained.map { try loadTokenizer($0).fingerprint }
        // llama3 and llama31 differ only in their chat template.
        #expect(prints[0] == prints[1])
        #expect(Set(prints).count == trained.count - 1)
        #expect(prints.allSatisfy { $0.count == 64 })
        let models = packageRoot.appendingPathComponent("cluster/models")
        let main = try Tokenizer(directory: models.appendingPathComponent("needle-main-2m").path)
        let speculator = try Tokenizer(directory: models.appendingPathComponent("needle-speculator-0.4m").path)
        #expect(main.fingerprint == speculator.fingerprint)
    }

    @Test func flagsOfTheConfigurationDecideAboutBOS() throws {
        let folder = try TemporaryDirectory()
        let source = fixtures.appendingPathComponent("llama2/tokenizer.json")
        try FileManager.default.copyItem(
            at: source, to: URL(fileURLWithPath: folder.path).appendingPathComponent("tokenizer.json"))
        let plain = try Tokenizer(directory: folder.path).encode("Alice", addSpecialTokens: false)
        #expect(try Tokenizer(directory: folder.path).encode("Alice") == [1] + plain)
        try folder.write(#"{"add_bos_token": false, "bos_token": "<s>"}"#, "tokenizer_config.json")
        #expect(try Tokenizer(directory: folder.path).encode("Alice") == plain)
        try folder.write(
            #"{"add_bos_token": true, "bos_token": "<s>", "eos_token": {"content": "</s>"}, "add_eos_token": true}"#,
            "tokenizer_config.json")
        #expect(try Tokenizer(directory: folder.path).encode("Alice") == [1] + plain + [2])
    }
}
