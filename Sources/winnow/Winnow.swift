import ArgumentParser

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
            70 a fault of Winnow's own; 75 try again later; 130 interrupted.
            """,
        version: WinnowVersion.text,
        subcommands: [
            LaunchCommand.self, CoordinatorCommand.self, WorkerCommand.self, GenerateCommand.self, LoadgenCommand.self,
            ModelCommand.self, BenchCommand.self,
        ])
}

/// The release.
enum WinnowVersion {
    static let text = "0.1.0"
}
