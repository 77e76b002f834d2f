// `winnow loadgen`: to measure, and to compare what was measured.

import ArgumentParser

/// Measures, unless told to compare.
///
/// It has no options of its own: a command takes its options wherever they stand, also behind the name of a subcommand that
/// has others of the same name. It leaves `--help` to the subcommand as well.
struct LoadgenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "loadgen",
        abstract: "Measure latency under load, or the highest rate that keeps a latency promise.",
        discussion: "See 'winnow loadgen --help' and 'winnow loadgen compare --help'.",
        subcommands: [LoadgenRun.self, LoadgenCompare.self], defaultSubcommand: LoadgenRun.self, helpNames: [])
}
