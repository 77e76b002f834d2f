// `winnow loadgen compare`: two reports side by side.

import ArgumentParser
import Foundation
import LoadGenerator

/// Holds one report against another.
struct LoadgenCompare: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "The ratios of two reports, with their confidence intervals.",
        discussion: """
            Each mode of the second report against the mode of the same name in the first, or, where a report has one mode, \
            against that. Latencies are compared only when both were measured at the same rate (within 2 %): \
            95 % intervals by block bootstrap. The interval of maximal rates spans what the searches confirmed and \
            what they found broken.
            """,
        helpNames: [.short, .long])

    @Argument(help: "The report to compare with.", completion: .file(extensions: ["json"]))
    var base: String

    @Argument(help: "The report that is compared.", completion: .file(extensions: ["json"]))
    var other: String

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        do {
            let (first, second) = (try MeasurementFile(file: base), try MeasurementFile(file: other))
            let comparisons = try Comparison.files(first, second, names: (base, other))
            if json {
                Console.write(String(decoding: try ReportFile.json(["comparisons": comparisons]), as: UTF8.self))
            } else {
                Console.write(SummaryText(usesColor: Terminal.hasColor).text(of: comparisons))
            }
        } catch let error as LoadGeneratorError {
            throw LoadgenRun.failure([error])
        }
    }
}
