// `winnow launch FILE`: a topology file to running processes.

import ArgumentParser
import Compute
import Foundation
import Launcher

/// Starts a coordinator and its workers on this machine and ends them all with one Ctrl-C.
struct LaunchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "launch",
        abstract: "Start a cluster from a topology file.",
        usage:
            "winnow launch FILE [--http HOST:PORT] [--ready-file FILE] [--timeout SECONDS] [--cpu-level LEVEL] [--verbose] [--dry-run]",
        discussion: """
            Starts the coordinator, waits until it listens, starts the workers, and waits until every layer of the \
            model is held. Then it prints one line `ready http://HOST:PORT` on standard output. The logs of all \
            processes go to standard error, each line with the name of its process.

            One Ctrl-C (or SIGTERM) ends all processes: SIGTERM in reverse order, after 5 seconds SIGKILL; a second \
            Ctrl-C does not wait. The processes end too when the launcher itself is killed. When a process ends by \
            itself, the launch reports its name, exit status and last 20 log lines, and ends.

            TOPOLOGY FILE (YAML; paths are relative to the file; only `model` and `pipelines` are required)
              name: needle                     the model's name for clients; default: the model's folder
              model: models/needle-main-2m     main model, Hugging Face layout
              speculator: models/needle-speculator-0.4m
              dtype: auto                      number formats of all processes: auto, f32, bf16, int8
              coordinator:
                host: localhost                this version starts processes on this machine only
                http: 127.0.0.1:8080           where clients connect; port 0 takes any free one
                listen: tcp://127.0.0.1:*      where workers register; * takes any free port
                threads: 1                     compute threads of the speculator
                cpus: 0-1                      pin them; where no process names CPUs and there are enough,
                                               each stage gets its own and the coordinator the rest
                kv_tokens: 131072              KV rows every stage must be able to hold, over all requests
                micro_batch_tokens: 512        most token rows that travel together
              speculation:                     for requests that don't choose for themselves
                keep_rate: 0.1                 over 0, at most 1
                selection: windows             windows, grid or reference
                look_ahead: 8
                tail: 64                       tokens at the end that are always kept
                threshold: 512                 shorter prompts go dense
              pipelines:                       one entry in this version
                - threads: 1                   default of its stages; likewise host, kv_tokens
                  stages: 3                    three equal stages, or a list:
                  # stages:
                  #   - {layers: 0-1, threads: 1, cpus: "2", kv_tokens: 65536, listen: "tcp://127.0.0.1:*"}
                  #   - {layers: 2-3}          all stages name their layers (both ends inclusive) or none does
              hosts: {localhost: {address: 127.0.0.1}}
              environment: {NAME: value}       for every process

            EXIT CODES
              0 ended by SIGTERM; 64 wrong usage; 65 the topology file or a model is wrong; 69, 70 a process failed; \
            75 not ready in time; 130 ended by Ctrl-C. A failed process's own code (64 to 78) is passed on.
            """)

    @Argument(help: ArgumentHelp("Topology file.", valueName: "file"))
    var file: String

    @Option(help: ArgumentHelp("Serve here instead of at the topology's address; port 0: any.", valueName: "host:port"))
    var http: String?

    @Option(help: ArgumentHelp("Write the URL to this file once ready; removed at the end.", valueName: "file"))
    var readyFile: String?

    @Option(help: ArgumentHelp("Give up when the cluster cannot serve after this many seconds.", valueName: "seconds"))
    var timeout: Double = 600

    @Option(
        help: ArgumentHelp(
            "Compute as a lesser CPU would, in all processes: sets WINNOW_CPU_LEVEL.", valueName: "level"))
    var cpuLevel: CPULevel?

    @Flag(help: "Show the command of each process.")
    var verbose = false

    @Flag(help: "Print the command of each process, for starting them by hand, and start nothing.")
    var dryRun = false

    @Option(help: ArgumentHelp("Program to run instead of this one.", valueName: "file"))
    var executable: String?

    func validate() throws {
        if let http, !Topology.CoordinatorPlace.isHostAndPort(http) {
            throw ValidationError("--http must be HOST:PORT, found '\(http)'; write for example 127.0.0.1:8080")
        }
        guard timeout > 0, timeout <= 86_400 else {
            throw ValidationError("--timeout must be over 0 and at most 86400 seconds, found \(timeout)")
        }
    }

    func run() async throws {
        var topology: Topology
        do {
            topology = try Topology(contentsOf: file)
        } catch {
            FileHandle.standardError.write(Data("winnow launch: \(error)\n".utf8))
            throw ExitCode(65)
        }
        if let cpuLevel { topology.environment[CPULevel.variable] = cpuLevel.rawValue }
        let plan = LaunchPlan(
            topology: topology, executable: try program(), http: http, availableCPUs: HostCPUs.available())
        // A `*` port is known only once the coordinator has bound it.
        let commands = plan.commands(coordinatorAt: topology.coordinator.listen.replacing(":*", with: ":PORT"))
        if dryRun {
            print(commands.joined(separator: "\n"))
            return
        }
        let printer = LogPrinter(names: ["launch", plan.coordinator.name] + plan.workers.map(\.name))
        printer.print("launch", "\(plan.name): a coordinator and \(plan.workers.count) workers; Ctrl-C ends them")
        if verbose { for command in commands { printer.print("launch", command) } }

        let readyFile = readyFile
        let launch = Launch(
            plan: plan, patience: Launch.Patience(ready: .seconds(timeout)),
            output: Launch.Output(
                log: { printer.print($0, $1) }, say: { printer.print("launch", $0) },
                ready: { url in
                    // The file first: who has read the line finds the file.
                    if let readyFile {
                        do {
                            try Data("\(url)\n".utf8).write(to: URL(fileURLWithPath: readyFile), options: .atomic)
                        } catch {
                            printer.print("launch", "can't write \(readyFile): \(error.localizedDescription)")
                        }
                    }
                    FileHandle.standardOutput.write(Data("ready \(url)\n".utf8))
                }))
        let signals = StopSignals()
        let reasons = signals.reasons
        let stops = Task { for await reason in reasons { await launch.stop(reason) } }
        let outcome = await launch.run()
        stops.cancel()
        signals.cancel()
        if let readyFile { try? FileManager.default.removeItem(atPath: readyFile) }
        printer.print("launch", outcome.description)
        printer.flush()
        if outcome.exitCode != 0 { throw ExitCode(outcome.exitCode) }
    }

    /// The program to run: this one's own file, whatever name it was called by.
    private func program() throws -> String {
        if let executable { return executable }
        do {
            return try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        } catch {
            FileHandle.standardError.write(
                Data("winnow launch: can't find this program's file; name it with --executable\n".utf8))
            throw ExitCode(70)
        }
    }
}
