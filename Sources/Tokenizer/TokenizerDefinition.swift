// What the two file formats are read into: everything a tokenizer is made of.

internal import Checkpoint

/// A tokenizer as a value, checked: every id in it has a token.
struct TokenizerDefinition {
    /// The file it comes from, for error messages.
    var path: String
    /// By id: the text of the token as bytes; nil where no token has the id.
    var tokens: [[UInt8]?]
    var addedTokens: [AddedToken]
    var normalizer: [Rewrite]
    var preTokenizer: PreTokenizer
    var encoder: BytePairEncoder
    var leadingSpace: TokenText.LeadingSpace
    /// Tokens that stand for a byte of a character that has no token.
    var byteTokens: Set<Int32> = []
    /// Put before and after a text whose special tokens are asked for.
    var prefix: [Int32]
    var suffix: [Int32]
    var bosToken: Int32?
    var eosToken: Int32?
    /// Chat templates by name; "default" is the one for all conversations.
    var chatTemplates: [(name: String, text: String)] = []
    /// The special tokens that templates are given, by their names there: `bos_token`.
    var templateTokens: [(name: String, text: [UInt8])] = []
    /// The merges in canonical form, for the fingerprint.
    var mergeBytes: [UInt8]

    /// A digest of tokens, their special marks and the merges: what decides which ids a text has.
    var fingerprint: String {
        var canonical = Array("winnow tokenizer 1".utf8)
        let special = Set(addedTokens.filter(\.isSpecial).map(\.id))
        for (id, token) in tokens.enumerated() {
            canonical.append(token == nil ? 0 : special.contains(Int32(id)) ? 2 : 1)
            canonical.append(littleEndian: UInt32(token?.count ?? 0))
            canonical.append(contentsOf: token ?? [])
        }
        canonical.append(contentsOf: mergeBytes)
        let digest = canonical.withUnsafeBytes { Digest.blake2b($0) }
        return digest.reduce(into: "") { text, byte in
            text += (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }
    }
}

extension [UInt8] {
    /// Appends the bytes of an integer, the least significant first.
    mutating func append(littleEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }
}

/// Bounds that no real tokenizer comes near, so that a damaged file cannot claim all memory.
enum TokenizerLimits {
    /// Largest number of ids; vocabularies in use have up to 262,144.
    static let tokens = 1 << 22
    static let merges = 1 << 23
    /// Longest text of a token, in bytes.
    static let tokenBytes = 1 << 16
    /// Longest text of an added token, and of all together, in bytes: they are held in a trie.
    static let addedTokenBytes = 1 << 12
    static let allAddedTokenBytes = 1 << 24
    /// Most ids that are put around every text.
    static let surroundingTokens = 64
    /// Longest text that rewritings look for, in bytes: finding one takes time in proportion.
    static let patternBytes = 256
    /// Most bytes that rewritings may make of one: of a prompt, and of a token's text. Those of models in use make 12.
    static let growth = 64
    static let decodedGrowth = 8
    /// Largest JSON file, in bytes.
    static let fileBytes = 1 << 28
}
