// Which keys clients may show, and what each may do. A pure value: text in, entries out.

import Checkpoint
import Foundation
public import SecretFiles

/// The keys of a gateway's clients.
///
/// A text of lines `NAME ID SALT CODE` with perhaps `FIELD=VALUE` behind them; `#` begins a comment. The keys themselves
/// stand nowhere: of each there is a salted hash. A name may have several keys, so that one can take over from another.
public struct APIKeyList: Equatable, Sendable {
    /// What a key's holder may do, beyond asking.
    public struct Limits: Equatable, Sendable {
        /// The most requests per minute; nil: any number.
        public var requestsPerMinute: Int?
        /// The most requests answered at a time; nil: any number.
        public var concurrentRequests: Int?
        /// The most tokens per minute, of prompts and answers together; nil: any number.
        public var tokensPerMinute: Int?
        /// When the key ends to hold, in seconds since 1970; nil: never.
        public var expiry: Int?
        /// Whether it opens metrics, status and page too.
        public var isOperator: Bool

        /// Limits; what is left out does not limit.
        public init(
            requestsPerMinute: Int? = nil, concurrentRequests: Int? = nil, tokensPerMinute: Int? = nil,
            expiry: Int? = nil, isOperator: Bool = false
        ) {
            self.requestsPerMinute = requestsPerMinute
            self.concurrentRequests = concurrentRequests
            self.tokensPerMinute = tokensPerMinute
            self.expiry = expiry
            self.isOperator = isOperator
        }
    }

    /// One key.
    public struct Entry: Equatable, Sendable {
        /// Whose it is.
        public let name: String
        /// The key's own name, 12 hexadecimal digits.
        public let id: String
        let digest: APIKeyDigest
        /// What its holder may do.
        public let limits: Limits
    }

    /// Most keys of a list.
    public static let most = 4096

    /// In the order of the file.
    public private(set) var entries: [Entry] = []
    private var byID: [String: Entry] = [:]

    /// No key.
    public init() {}

    /// Whether somebody can be called so: 1 to 64 letters, digits, `-`, `_`, `.` and `@`.
    public static func isName(_ text: some StringProtocol) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.unicodeScalars.allSatisfy { scalar in
                scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil)
                    || "-_.@".unicodeScalars.contains(scalar)
            }
    }

    /// Whose key was shown; nil: nobody's here.
    func entry(of key: APIKey) -> Entry? { byID[key.id].flatMap { $0.digest.matches(key) ? $0 : nil } }

    /// Makes a key and puts it on the list. Returns the key's text, which stands nowhere else.
    ///
    /// - Precondition: `name` can be one, see ``isName(_:)``.
    /// - Throws: a list that is full.
    public mutating func add(_ name: String, _ limits: Limits) throws(SecretFileError) -> String {
        precondition(Self.isName(name), "no name")
        guard entries.count < Self.most else { throw SecretFileError("the list", "has \(Self.most) keys already") }
        var key = APIKey()
        while byID[key.id] != nil { key = APIKey() }
        append(Entry(name: name, id: key.id, digest: APIKeyDigest(of: key), limits: limits))
        return key.text
    }

    private mutating func append(_ entry: Entry) {
        entries.append(entry)
        byID[entry.id] = entry
    }

    /// Takes away the key of that id, or every key of that name; returns how many.
    public mutating func revoke(_ nameOrID: String) -> Int {
        let gone = entries.filter { $0.id == nameOrID || $0.name == nameOrID }
        entries.removeAll { $0.id == nameOrID || $0.name == nameOrID }
        for entry in gone { byID[entry.id] = nil }
        return gone.count
    }

    // MARK: Text

    /// Reads a list.
    ///
    /// - Parameter path: what errors call it.
    /// - Throws: the first line that is none.
    public init(_ text: String, path: String) throws(SecretFileError) {
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
            if words.isEmpty { continue }
            func bad(_ problem: String) -> SecretFileError { SecretFileError("\(path), line \(index + 1)", problem) }
            guard words.count >= 4 else { throw bad("must be NAME ID SALT CODE, as `winnow keys api new` writes it") }
            guard Self.isName(words[0]) else { throw bad("a name is 1 to 64 letters, digits, '-', '_', '.', '@'") }
            guard let id = hexBytes(words[1]), id.count == 6 else { throw bad("an id is 12 hexadecimal digits") }
            guard let digest = APIKeyDigest(salt: hexBytes(words[2]), code: hexBytes(words[3])) else {
                throw bad("salt and code are 64 hexadecimal digits each: write keys with `winnow keys api new`")
            }
            guard byID[String(words[1])] == nil else { throw bad("the id stands in the list already") }
            guard entries.count < Self.most else { throw bad("there are over \(Self.most) keys") }
            var limits = Limits()
            for word in words.dropFirst(4) {
                guard limits.take(word) else {
                    throw bad(
                        "'\(word.prefix(40))' is none of requests_per_minute=N, concurrent_requests=N, "
                            + "tokens_per_minute=N (1 to 1000000000), expires=YYYY-MM-DD[THH:MM:SSZ], operator")
                }
            }
            append(Entry(name: String(words[0]), id: String(words[1]), digest: digest, limits: limits))
        }
    }

    /// Reads a file.
    ///
    /// - Throws: what is wrong with it.
    public init(path: String) throws(SecretFileError) {
        let data = try SecretFile.read(path, isSecret: true)
        guard let text = String(data: data, encoding: .utf8) else { throw SecretFileError(path, "is no UTF-8 text") }
        try self.init(text, path: path)
    }

    /// Writes the file anew, mode 0600.
    ///
    /// - Throws: why it can't be written.
    public func write(to path: String) throws(SecretFileError) {
        try SecretFile.write(Data(text.utf8), to: path, isReplacing: true)
    }

    package var text: String {
        "# Keys of API clients: NAME ID SALT CODE [LIMITS]. Read again whenever it changes; the keys stand nowhere.\n"
            + entries.map { entry in
                ([entry.name, entry.id, Digest.text(entry.digest.salt), Digest.text(entry.digest.code)]
                    + entry.limits.words)
                    .joined(separator: " ") + "\n"
            }.joined()
    }
}

extension APIKeyList.Limits {
    /// Numbers that limits may be.
    public static let range = 1...1_000_000_000

    fileprivate mutating func take(_ word: Substring) -> Bool {
        guard word != "operator" else {
            isOperator = true
            return true
        }
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { return false }
        let value = String(parts[1])
        let number = Int(value).flatMap { Self.range.contains($0) ? $0 : nil }
        switch parts[0] {
        case "requests_per_minute": requestsPerMinute = number
        case "concurrent_requests": concurrentRequests = number
        case "tokens_per_minute": tokensPerMinute = number
        case "expires":
            expiry = Self.time(value)
            return expiry != nil
        default: return false
        }
        return number != nil
    }

    /// Its limits as they stand in the file.
    public var words: [String] {
        [
            requestsPerMinute.map { "requests_per_minute=\($0)" },
            concurrentRequests.map { "concurrent_requests=\($0)" },
            tokensPerMinute.map { "tokens_per_minute=\($0)" },
            expiry.map { "expires=\(Date(timeIntervalSince1970: Double($0)).formatted(.iso8601))" },
            isOperator ? "operator" : nil,
        ].compactMap(\.self)
    }

    /// A time as `2027-01-31` (its midnight in UTC) or `2027-01-31T12:00:00Z`, in seconds since 1970; nil for what is
    /// none.
    public static func time(_ text: String) -> Int? {
        let whole = text.utf8.count == 10 ? text + "T00:00:00Z" : text
        guard let date = try? Date(whole, strategy: .iso8601) else { return nil }
        return Int(date.timeIntervalSince1970)
    }
}
