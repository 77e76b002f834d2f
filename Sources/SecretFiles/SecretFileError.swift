// What is wrong with a file that somebody put there.

/// What is wrong with a secret, or with a file that is read beside one: a certificate, a list of keys.
public struct SecretFileError: Error, Equatable, CustomStringConvertible, Sendable {
    /// The file, with the line where one is at fault.
    public let place: String
    /// What is wrong, and the fix.
    public let problem: String

    package init(_ place: String, _ problem: String) {
        self.place = place
        self.problem = problem
    }

    public var description: String { "\(place): \(problem)" }
}
