import ArgumentParser
import Foundation
import Launcher

/// The one command. Each subcommand is a file of its own.
@main
struct Winnow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "winnow",
        abstract: "Speculative prefill over a cluster of CPU hosts: long prompts, early first tokens.",
        discussion: """
            A small speculator model reads the whole prompt and says which parts matter; only those go, at their original \
            positions, through a pipeline of workers that each hold some layers of the main model.

            Exit codes: 0 done; 64 wrong usage; 65 a file or model is bad; 69 a port or peer is not to be had; \
            70 a fault of Winnow's own; 74 the output cannot be written; 75 try again later; 130 interrupted.
            """,
        version: WinnowVersion.text,
        subcommands: [
            LaunchCommand.self, CheckCommand.self, StatusCommand.self, CoordinatorCommand.self, WorkerCommand.self,
            GenerateCommand.self, LoadgenCommand.self, ModelCommand.self, KeysCommand.self, BenchCommand.self,
            HoldCommand.self, SettingsCommand.self,
        ])

    /// Runs the command that the arguments name, and ends the process with its exit code.
    static func main() async {
        Descriptor.secureStandardStreams()
        let words = CommandWords(CommandLine.arguments.dropFirst(), of: Winnow.self)
        var command: any ParsableCommand.Type = Winnow.self
        do {
            if let mistake = words.mistake {
                command = mistake.parent
                throw ValidationError("\(mistake)")
            }
            var parsed = try await asyncParseAsRoot(words.all)
            command = type(of: parsed)
            if var parsed = parsed as? any AsyncParsableCommand { try await parsed.run() } else { try parsed.run() }
            end(with: nil, of: command)
        } catch {
            end(with: error, of: command)
        }
    }

    /// Says what went wrong, if anything did, and ends the process.
    private static func end(with error: (any Error)?, of command: any ParsableCommand.Type) -> Never {
        var code = ExitCode.success
        if let error {
            code = exitCode(for: error)
            let text =
                (error as? ValidationError).map { CommandWords.usageError($0.message, command) }
                ?? CommandWords.withoutDefaultNames(fullMessage(for: error))
            if code == .success {
                if !text.isEmpty { Console.say(text) }
            } else if !text.isEmpty {
                Console.note(text)
            }
        }
        // A reader that has seen enough and left is no failure; a full disk is one.
        if code == .success, let problem = Console.outputProblem, !problem.isClosedPipe {
            code = Console.failure(.cannotWrite, "cannot write to standard output: \(problem)")
        }
        Console.flush()
        Foundation.exit(code.rawValue)
    }
}

/// The release.
enum WinnowVersion {
    static let text = "0.1.0"
}
