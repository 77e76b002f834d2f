// `winnow check FILE`: everything that is wrong with a topology and its hosts, before anything loads.

import ArgumentParser
import Foundation
import Launcher
import Settings
import Wire

struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Say what is wrong with a topology and its hosts, before anything loads.",
        discussion: """
            Reads the file to its end, asks every host it names (over ssh, as winnow launch would), and prints all problems \
            at once, each with its fix: unknown keys and wrong values; models that are missing, differ between hosts or are \
            no pair; layers that are not covered; ports that are taken or used twice; weights and KV rows against the memory, \
            threads against the CPU time that the host or its cgroup grants; open files; CPU levels and what multiplies \
            slowly; clocks; versions. Nothing is started and no weight is loaded.

            Exit codes: 0 nothing, or warnings only; 65 the file is wrong; 69 a host, model or port stands in the way.
            """)

    @Argument(help: ArgumentHelp("Topology file.", valueName: "file"))
    var file: String?

    @Flag(help: "Print one JSON object.")
    var json = false

    @Option(help: ArgumentHelp("ssh's configuration file instead of the user's.", valueName: "file"))
    var sshConfig: String?

    @Option(help: ArgumentHelp("The program on the hosts instead of this one's path.", valueName: "file"))
    var executable: String?

    @Flag(help: ArgumentHelp("Answer a question about this host on standard input.", visibility: .private))
    var facts = false

    private struct Report: Encodable {
        var file: String
        var problems: [CheckFinding]
    }

    func validate() throws {
        guard facts || file != nil else { throw ValidationError("Missing expected argument '<file>'") }
    }

    func run() async throws {
        if facts { return try answer() }
        let file = file ?? ""
        let findings = try await findings(file)
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            Console.say(String(decoding: try encoder.encode(Report(file: file, problems: findings)), as: UTF8.self))
        } else {
            for finding in findings { Console.say("\(file):\(finding)") }
            if findings.isEmpty { Console.say("\(file): nothing found") }
        }
        let code = findings.map(\.exitCode).filter { $0 != 0 }.min() ?? 0
        if code != 0 { throw ExitCode(code) }
    }

    private func findings(_ file: String) async throws -> [CheckFinding] {
        let (read, faults) = Topology.read(contentsOf: file)
        let found = faults.map(CheckFinding.init)
        // Of a file that is wrong elsewhere too, as much as there is.
        guard let topology = read, topology.shared.isSaid("model"), !topology.pipelines.isEmpty else { return found }
        let own = try executable ?? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let places = Places(
            topology, executable: own, configuration: sshConfig, isHere: HostAddress.isHere)
        let plan = LaunchPlan(
            topology: topology, executable: own, availableCPUs: HostCPUs.available(), places: places)
        let check = Check(topology, plan: plan)
        let answers = await withTaskGroup(of: (String, HostAnswer).self) { group in
            for (name, ssh, question) in check.questions {
                group.addTask {
                    guard let ssh else { return (name, .facts(HostFacts(answering: question))) }
                    return (name, await ssh.answer(question))
                }
            }
            var answers: [String: HostAnswer] = [:]
            for await (name, answer) in group { answers[name] = answer }
            return answers
        }
        return found + check.findings(answers, version: WinnowVersion.text, clock: Date().timeIntervalSince1970)
    }

    /// The far side of ``SSHHost/answer(_:)``.
    private func answer() throws {
        let question: HostQuestion
        do {
            let data = try FileHandle.standardInput.read(upToCount: 1 << 20) ?? Data()
            question = try JSONDecoder().decode(HostQuestion.self, from: data)
        } catch {
            throw Console.failure(.usage, "--facts wants a question on standard input, from winnow check: \(error)")
        }
        Console.say(String(decoding: try JSONEncoder().encode(HostFacts(answering: question)), as: UTF8.self))
    }
}
