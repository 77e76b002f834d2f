// What a launcher says to `winnow hold` on another host.

internal import Foundation

/// What a process is to be run as, in one line of JSON: nothing of it stands in a command line, passes through a shell
/// or is seen by other users of the host.
package struct HoldOrder: Codable, Equatable, Sendable {
    /// Which process of which cluster it is; only one such runs on a host at a time.
    package var name: String
    /// Arguments after the program.
    package var arguments: [String]
    /// Variables set on top of the host's own environment.
    package var environment: [String: String]
    /// Files that only the process may read; nil: none.
    package var secrets: Secrets?

    /// Files of a folder here that the process needs there. They lie there as long as it runs, in a folder of their own,
    /// and arguments that begin with this folder's path name that one instead.
    package struct Secrets: Codable, Equatable, Sendable {
        package var folder: String
        /// By the file's name.
        package var texts: [String: String]

        package init(folder: String, texts: [String: String]) {
            self.folder = folder
            self.texts = texts
        }
    }

    /// Longest line taken, in bytes.
    static let sizeLimit = 1 << 20

    package init(
        name: String, arguments: [String], environment: [String: String], secrets: Secrets? = nil
    ) {
        self.name = name
        self.arguments = arguments
        self.environment = environment
        self.secrets = secrets
    }

    /// The line, with its end.
    package var line: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // A value of strings alone can always be written.
        return Array((try? encoder.encode(self)) ?? Data()) + [UInt8(ascii: "\n")]
    }

    package init?(line: [UInt8]) {
        guard let order = try? JSONDecoder().decode(HoldOrder.self, from: Data(line)) else { return nil }
        self = order
    }
}

/// The lines after it.
package enum HoldWord: String {
    /// The launcher lives. It says so every ``interval``.
    case alive = "."
    /// SIGTERM to the process.
    case terminate = "term"
    /// SIGKILL to the process and what it started.
    case kill = "kill"

    package var line: [UInt8] { Array(rawValue.utf8) + [UInt8(ascii: "\n")] }

    /// How often the launcher says ``alive``.
    static let interval: Duration = .seconds(2)
    /// Seconds without a word after which the launcher counts as gone, though the kernel on its side may still answer: it
    /// was stopped, or its host is out of memory.
    package static let patience = 30
    /// Seconds without a word after which something is said, so that the kernels show whether the connection stands.
    package static let suspicion = 3
    /// Seconds without a word after which the launcher counts as gone where its kernel does not answer either: a cable was
    /// pulled. A host that is merely busy answers.
    package static let cutPatience = 6
    /// Bytes that the kernel has sent again this often, which takes 3 s, are not answered.
    package static let cutRetransmissions = 4
}
