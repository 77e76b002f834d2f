// Whatever a flag of a process can say, a topology file can say.

import Foundation
import Launcher
import Testing

@Suite(
    "Topology keys and flags", .timeLimit(.minutes(1)),
    .enabled(if: FileManager.default.isExecutableFile(atPath: program), "winnow is not built beside the tests"))
struct TopologyReachTests {
    /// What the launch itself says to its processes, by other keys or by none; and the second spelling of `drain-time`.
    /// The cache of weights has no key yet: by its flag or in its usual place.
    private static let launchsOwn: Set = [
        "model", "speculator", "name", "stages", "pipeline", "role", "speculator-workers", "coordinator",
        "exit-with-stdin", "help", "version", "drain", "key",
        "weights-cache",
    ]

    private struct Help: Decodable {
        struct Command: Decodable { var arguments: [Argument] }
        struct Argument: Decodable { var names: [Name]? }
        struct Name: Decodable {
            var kind: String
            var name: String
        }
        var command: Command
    }

    /// The long names of a command's options and flags.
    private func flags(of command: String) throws -> Set<String> {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = [command, "--experimental-dump-help"]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let json = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        let help = try JSONDecoder().decode(Help.self, from: json)
        return Set(help.command.arguments.flatMap { $0.names ?? [] }.filter { $0.kind == "long" }.map(\.name))
    }

    /// Whether `key` is known in a place of the file; its value here is none that any key takes.
    private func isKnown(_ key: String, in place: String) -> Bool {
        let yaml = "model: m\nspeculator: s\npipelines:\n- stages:\n  - threads: 1\n"
        let text =
            switch place {
            case "": "\(key): {a: b}\n" + yaml
            case "stage": yaml + "    \(key): {a: b}\n"
            default: "\(place): {\(key): {a: b}}\n" + yaml
            }
        do {
            _ = try Topology(yaml: text, path: "t.yaml") { _ in true }
            return true
        } catch {
            return error.problem != "unknown key"
        }
    }

    @Test(arguments: ["coordinator", "worker"]) func everyFlagHasItsKey(command: String) throws {
        let flags = try flags(of: command)
        #expect(flags.count > 10)
        for flag in flags.subtracting(Self.launchsOwn) {
            let key = flag.replacing("-", with: "_")
            let places = command == "worker" ? ["", "stage"] : ["", "coordinator", "speculation"]
            #expect(places.contains { isKnown(key, in: $0) }, "no key `\(key)` for --\(flag) of winnow \(command)")
        }
        #expect(!isKnown("no_such_key", in: "stage") && !isKnown("no_such_key", in: ""))
    }
}
