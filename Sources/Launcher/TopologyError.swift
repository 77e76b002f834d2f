// A topology file that can't be used: where, what, and how to put it right.

internal import OutsideText

/// A problem in a topology file.
public struct TopologyError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file, as the caller named it.
    public var path: String
    /// The line the problem is on, counted from 1; nil where the problem has no line of its own.
    public var line: Int?
    /// The key with its way from the top, for example `pipelines[0].stages[2].threads`; empty for the file itself.
    public var key: String
    /// What was expected and what was found.
    public var problem: String
    /// What to write instead.
    public var fix: String

    /// Creates an error from its parts.
    public init(path: String, line: Int?, key: String, problem: String, fix: String) {
        self.path = path
        self.line = line
        self.key = key
        self.problem = problem
        self.fix = fix
    }

    /// `FILE:LINE: KEY: PROBLEM. FIX`, in the form editors and compilers use. Of what the file says no more than can be read.
    public var description: String {
        let place = line.map { "\(path):\($0)" } ?? path
        let subject = key.isEmpty ? "" : " \(key.shown(upTo: 200)):"
        return "\(place):\(subject) \(problem.shown(upTo: 1000)). \(fix.shown(upTo: 1000))"
    }
}
