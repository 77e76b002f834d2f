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
            at once, each with its line or key, its host, and its fix:

              the file   unknown keys, wrong values, settings that do not go together,
                         layers that are not covered
              models     missing, unreadable, other weights than elsewhere, a pair with
                         two tokenizers, a part without the stage's layers
              hosts      no answer, another version, clocks that differ
              CPUs       a level the CPU lacks, what multiplies slowly, threads over the
                         CPUs or the cgroup's quota
              memory     weights and KV rows over what the host or its cgroup leaves;
                         open files; the weights cache's folder
              ports      used twice, taken, or closed on the way: each host listens for
                         a moment where its processes will, and those that must reach
                         it connect
              keys       of `keys: DIR`: files that others may read, of another
                         coordinator, or not on the list

            Then a line for each host says what it has. Nothing is started and no weight is loaded.

            Exit codes: 0 nothing, or warnings only; 65 the file is wrong; 69 a host, model, key or port stands in the way.
            """)

    @Argument(help: ArgumentHelp("Topology file.", valueName: "file"))
    var file: String?

    @Flag(help: "Print one JSON object.")
    var json = false

    @Option(help: ArgumentHelp("ssh's configuration file instead of the user's.", valueName: "file"))
    var sshConfig: String?

    @Option(help: ArgumentHelp("The program on the hosts instead of this one's path.", valueName: "file"))
    var executable: String?

    @Flag(help: ArgumentHelp("Answer questions about this host on standard input.", visibility: .private))
    var facts = false

    private struct Report: Encodable {
        var file: String
        var problems: [CheckFinding]
        /// What each host said of itself.
        var hosts: [String: HostFacts]
    }

    func validate() throws {
        guard facts || file != nil else { throw ValidationError("Missing expected argument '<file>'") }
    }

    func run() async throws {
        if facts {
            do {
                return try await HostAnswering().answerInput()
            } catch {
                throw Console.failure(.usage, "--facts wants requests on standard input, from winnow check: \(error)")
            }
        }
        let file = file ?? ""
        let (findings, hosts) = try await findings(file)
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            Console.say(
                String(
                    decoding: try encoder.encode(Report(file: file, problems: findings, hosts: hosts)), as: UTF8.self))
        } else {
            for finding in findings { Console.say("\(file):\(finding)") }
            if findings.isEmpty { Console.say("\(file): nothing found") }
            for (host, facts) in hosts.sorted(by: { $0.key < $1.key }) { Console.say("\(host): \(facts.summary)") }
        }
        let code = findings.map(\.exitCode).filter { $0 != 0 }.min() ?? 0
        if code != 0 { throw ExitCode(code) }
    }

    private func findings(_ file: String) async throws -> ([CheckFinding], [String: HostFacts]) {
        let (read, faults) = Topology.read(contentsOf: file)
        let found = faults.map(CheckFinding.init)
        // Of a file that is wrong elsewhere too, as much as there is.
        guard let topology = read, topology.shared.isSaid("model"), !topology.pipelines.isEmpty else {
            return (found, [:])
        }
        let own = try executable ?? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let places = Places(
            topology, executable: own, configuration: sshConfig, isHere: HostAddress.isHere)
        let plan = LaunchPlan(
            topology: topology, executable: own, availableCPUs: HostCPUs.available(), places: places)
        let check = Check(topology, plan: plan)
        let answering = HostAnswering()
        let answers = await CheckAnswers.of(check) { await answering.answer($0) }
        let hosts = answers.hosts.compactMapValues { if case .facts(let facts) = $0 { facts } else { nil } }
        let keys = KeyFacts(topology.keys, for: plan)
        return (found + check.findings(answers, version: WinnowVersion.text, keys: keys), hosts)
    }
}

extension HostFacts {
    /// In one line: what multiplies, and what there is of CPUs and memory.
    fileprivate var summary: String {
        let quota = cpuQuota.map { ", \($0) of them by \(quotaFile ?? "its cgroup")" } ?? ""
        let free = memory.map { "\($0 >> 20) MiB free\(memoryFile.map { " within \($0)" } ?? "")" } ?? "memory unknown"
        return
            "winnow \(version), \(counted(cpus.count, "CPU"))\(quota), \(free), multiplies by \(products["auto"] ?? "?")"
    }
}
