// What a check finds.

/// One thing that is wrong with a topology or its hosts, with its fix.
public struct CheckFinding: Codable, Equatable, Sendable, CustomStringConvertible {
    /// How bad it is.
    public enum Severity: String, Codable, Sendable {
        /// It will run, not as well as it could.
        case warning
        /// A host, model or port stands in the way.
        case host
        /// The file is wrong.
        case file
    }

    /// How bad it is.
    public var severity: Severity
    /// The line in the file, counted from 1; nil where there is none.
    public var line: Int?
    /// The key with its way from the top; empty for the file itself.
    public var key: String
    /// The host it is about; nil: the file alone.
    public var host: String?
    /// What is wrong, without a full stop.
    public var problem: String
    /// What to do about it, a sentence or two.
    public var fix: String

    /// `LINE: KEY: on HOST: PROBLEM. FIX`.
    public var description: String {
        let place = (line.map { "\($0): " } ?? "") + (key.isEmpty ? "" : "\(key): ") + (host.map { "on \($0): " } ?? "")
        return "\(severity == .warning ? "warning: " : "")\(place)\(problem). \(fix)"
    }

    /// The exit code of a check that found this and nothing worse: 65 the file, 69 a host, 0 a warning.
    public var exitCode: Int32 {
        switch severity {
        case .warning: 0
        case .host: 69
        case .file: 65
        }
    }

    init(_ severity: Severity, _ key: String, host: String? = nil, _ problem: String, fix: String) {
        (self.severity, self.key, self.host, self.problem, self.fix) = (severity, key, host, problem, fix)
    }

    /// A fault of the file.
    public init(_ error: TopologyError) {
        self.init(.file, error.key, error.problem, fix: error.fix)
        line = error.line
    }
}
