// The words of a command line before they are parsed: names of commands that do not exist, and numbers below zero.

import ArgumentParser
import OutsideText
import Settings

/// A command line, looked at once before the parser takes it.
struct CommandWords {
    /// What the parser gets.
    let all: [String]
    /// A command that does not exist, with the one that may be meant.
    let mistake: NoSuchCommand?

    /// - Parameter root: The command whose name is not among the words.
    init(_ words: some Sequence<String>, of root: any ParsableCommand.Type) {
        all = Self.joiningNegativeNumbers(Array(words))
        mistake = Self.mistake(all, root)
    }

    /// A word where a command's name must be, and is not.
    struct NoSuchCommand: CustomStringConvertible {
        /// The last command before it.
        var parent: any ParsableCommand.Type
        /// The commands before it, with the program's own name.
        var path: [String]
        var word: String
        /// All that could stand there.
        var known: [String]

        var description: String {
            let place = path.joined(separator: " ")
            let hint =
                if let nearest = NearestWord.to(word, among: known) {
                    "Did you mean '\(place) \(nearest)'?"
                } else {
                    "Known are \(known.joined(separator: ", "))."
                }
            return "\(place) has no command '\(word.shown)'. \(hint)"
        }
    }

    private static func mistake(_ words: [String], _ root: any ParsableCommand.Type) -> NoSuchCommand? {
        var command = root
        var path = [root.name]
        for word in words {
            let below = command.configuration.subcommands
            guard !word.hasPrefix("-"), !below.isEmpty, !command.takesWords else { return nil }
            if let next = below.first(where: { $0.name == word || $0.configuration.aliases.contains(word) }) {
                command = next
                path.append(word)
                continue
            }
            if word == "help", path.count == 1 { return nil }
            return NoSuchCommand(
                parent: command, path: path, word: word,
                known: below.filter { $0.configuration.shouldDisplay }.map { $0.name })
        }
        return nil
    }

    /// `--rate -1` as `--rate=-1`: the parser takes a word that begins with a dash for an option, and would say that the
    /// value is missing instead of what is wrong with it.
    static func joiningNegativeNumbers(_ words: [String]) -> [String] {
        var joined: [String] = []
        for word in words {
            if let last = joined.last, last.hasPrefix("--"), last.count > 2, !last.contains("="), isNegativeNumber(word)
            {
                joined[joined.count - 1] += "=\(word)"
            } else {
                joined.append(word)
            }
        }
        return joined
    }

    private static func isNegativeNumber(_ word: String) -> Bool {
        guard word.hasPrefix("-"), let first = word.dropFirst().first(where: { $0 != "." }) else { return false }
        return first.isASCII && first.isNumber
    }

    /// A mistake in the use of `command` that was found after parsing, in the parser's form: with that command's usage and
    /// where its help is.
    static func usageError(_ message: String, _ command: any ParsableCommand.Type) -> String {
        var name = Winnow.name
        if command != Winnow.self, let path = path(to: command, from: Winnow.self) { name += " \(path)" }
        let usage = Winnow.usageString(for: command)
        return "Error: \(message)\nUsage: \(usage)\n  See '\(name) --help' for more information."
    }

    private static func path(to command: any ParsableCommand.Type, from root: any ParsableCommand.Type) -> String? {
        for next in root.configuration.subcommands {
            if next == command { return next.name }
            if let rest = path(to: command, from: next) { return "\(next.name) \(rest)" }
        }
        return nil
    }

    /// Where help is, without the name of a command that need not be written: `winnow loadgen --help`.
    static func withoutDefaultNames(_ text: String) -> String {
        Winnow.configuration.subcommands.reduce(text) { text, command in
            guard let plain = command.configuration.defaultSubcommand else { return text }
            return text.replacing("\(command.name) \(plain.name) --help", with: "\(command.name) --help")
        }
    }
}

extension ParsableCommand {
    /// What it is called on the command line; every command of Winnow says so itself.
    fileprivate static var name: String { configuration.commandName ?? "\(Self.self)" }

    /// Whether words of its own may stand where a subcommand's name could.
    fileprivate static var takesWords: Bool { configuration.defaultSubcommand != nil }
}
