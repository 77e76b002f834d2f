// `winnow status URL|FILE`: what a cluster is and does.

import ArgumentParser
import Coordinator
import Foundation
import Launcher
import OutsideText

/// Asks a coordinator for its status and prints it, once or over and over.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show what a cluster is and does.",
        usage: "winnow status URL|FILE [--watch] [--interval SECONDS] [--json] [--api-key-file FILE] [--ca-file FILE]",
        discussion: """
            Shows pipelines and their stages (layers, epoch, busy share, KV cache, rates, who is slow), what waits, the \
            faults of the last hour and the last requests with what was kept of each. The same is shown by the page at / \
            of the coordinator, and told as JSON at /status. Prompts and answers are never shown.

            URL is the coordinator's HTTP address (`http://HOST:PORT`, `https://HOST:PORT` or `HOST:PORT`). FILE is a topology \
            file: the address is its `coordinator.admin`, or its `coordinator.http`.

            EXIT CODES
              0 a pipeline stands; 64 wrong usage; 65 the topology file is wrong; 69 no coordinator answers; \
            75 it answers, and no pipeline stands. With --watch: 130 ended by Ctrl-C.
            """)

    @Argument(help: ArgumentHelp("The coordinator's address, or a topology file.", valueName: "url|file"))
    var place: String

    @Flag(help: "Show it again and again, until Ctrl-C.")
    var watch = false

    @Option(help: ArgumentHelp("With --watch: from one to the next, 0.5 to 3600.", valueName: "seconds"))
    var interval: Double = 1

    @Flag(help: "As JSON on one line; with --watch a line each time.")
    var json = false

    @OptionGroup var credentials: ClientCredentials

    func validate() throws {
        guard (0.5...3600).contains(interval) else {
            throw ValidationError("--interval must be 0.5 to 3600 seconds, found \(interval)")
        }
    }

    func run() async throws {
        let address: StatusAddress
        do {
            address = try StatusAddress(place, key: credentials.key(), caFile: credentials.caFile)
        } catch let error as TopologyError {
            throw Console.failure(.badData, "\(error)")
        }
        let screen = StatusScreen(isDrawn: watch && !json && isatty(STDOUT_FILENO) == 1)
        while true {
            do {
                let (status, text) = try await address.ask()
                screen.show(json ? [text] : StatusText(status, from: address.base).lines)
                guard watch else {
                    // As for scripts: what is not ready now may be later.
                    if status.notReady != nil { throw ExitCode(Console.Failure.notYet.rawValue) }
                    return
                }
            } catch let error as StatusAddress.Unanswered {
                guard watch else { throw Console.failure(.unavailable, "\(error)") }
                if json { Console.note("winnow: \(error)") } else { screen.show(["\(error)"]) }
            }
            guard Console.outputProblem == nil else { return }
            try await Task.sleep(for: .seconds(interval))
        }
    }
}

/// Where text goes that replaces what stood there; below each other where that is no terminal.
private struct StatusScreen {
    let isDrawn: Bool

    func show(_ lines: [String]) {
        let text = lines.map { $0 + "\n" }.joined()
        // To the upper left, and what is below the text is cleared after it: so it does not flicker.
        let whole = isDrawn ? "\u{1B}[H" + text.replacing("\n", with: "\u{1B}[K\n") + "\u{1B}[J" : text
        Console.write(whole)
    }
}
