// `winnow hold`: what a launcher runs on another host, at the far end of its ssh connection.

import ArgumentParser
import Foundation
import Launcher

/// Runs one process while standard input is open.
struct HoldCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hold", abstract: "Run one process for a launcher on another host, while it is connected.",
        shouldDisplay: false)

    func run() async throws {
        let executable: String
        do {
            executable = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        } catch {
            throw Console.failure(.fault, "can't find this program's file: \(error)")
        }
        let status = await Hold.run(executable: executable)
        if status != 0 { throw ExitCode(status) }
    }
}
