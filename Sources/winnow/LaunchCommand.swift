// `winnow launch FILE`: a topology file to running processes.

import ArgumentParser
import Compute
import Foundation
import Launcher
import Settings
import Synchronization
import Wire

/// Starts a coordinator and its workers, on this machine and over ssh on others, and ends them all with one Ctrl-C.
struct LaunchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "launch",
        abstract: "Start a cluster from a topology file, here and over ssh.",
        usage: """
            winnow launch FILE [--push] [--ssh-config FILE] [--http HOST:PORT] [--ready-file FILE] [--timeout SECONDS] [--drain-time SECONDS] \
            [--cpu-level LEVEL] [--verbose] [--dry-run]
            winnow launch FILE --render systemd|slurm|kubernetes --out FOLDER [--executable FILE] [--image NAME] \
            [--memory QUANTITY]
            winnow launch --schema
            """,
        discussion: """
            Starts the coordinator, waits until it listens, starts the workers, and waits until every layer of the \
            model is held. Then it prints one line `ready http://HOST:PORT` on standard output. The logs of all \
            processes go to standard error, each line with the name of its process.

            One Ctrl-C (or SIGTERM) ends all processes: first the coordinator, which takes no more requests and gives \
            those that run --drain-time to end, then the workers; who does not end within 5 seconds more is killed. A \
            second Ctrl-C does not wait. The processes end too when the launcher itself is killed, on other hosts too: within 10 \
            seconds of the end of their ssh connection, or of a cut of the network; 30 where the launcher hangs.

            A process that ends by itself is started again after a back-off (`restart` below); the coordinator where it \
            was. So SIGTERM to one worker after the other restarts them all under load. Who ends with 64 or 65, or too often, \
            is given up; the launch then goes on without it while some pipeline is whole, with spares. Otherwise it reports \
            the process's name, exit status and last 20 log lines, and ends. Before the cluster has served once, any \
            exit status but 0 ends it.

            TOPOLOGY FILE (YAML; paths are relative to the file; only `model` and `pipelines` are required)
            \(Setting.help(in: .top, of: .coordinator, indent: 2))
              coordinator:
                host: localhost                a name of `hosts`, or this machine
            \(Setting.help(in: .coordinator, of: .coordinator, indent: 4))
                                               where the file says no cpus and there are enough, each stage and
                                               speculator gets its own, the coordinator the rest; listen is by
                                               default any port of 127.0.0.1, with `hosts` 5700 of the host's address
              speculation:                     for requests that don't choose for themselves
            \(Setting.help(in: .speculation, of: .coordinator, indent: 4))
              pipelines:                       one entry each, of any depth
                - name: main                   default: main, then pipeline-1, pipeline-2, ...
                  threads: 1                   default of its stages; likewise host, kv_tokens, log_level,
                                               advertise, insecure
                  stages: 3                    three equal stages, or a list:
                  # stages:
                  #   - {layers: 0-1, threads: 1, cpus: "2", kv_tokens: 65536, listen: "tcp://127.0.0.1:*"}
                  #   - {layers: 2-3}          all stages name their layers (both ends inclusive) or none does; a cut may
                                               lie within a layer: 0-2a (up to its attention), then 2f-3, or
                                               0-2f34 (and its feed-forward for 34 % of the rows), then 2f34-3
              spares: 1                        workers that replace any stage; or {count: 1, threads: 2, ...}, or a list
              speculators: 2                   workers that score prompts instead of the coordinator; likewise
              restart:                         what ends by itself; or only the policy: `restart: never`
                policy: always                 always, on-failure (any end but exit status 0), never
                backoff: 0.5                   before the first new start, seconds; doubles each time ...
                max_backoff: 30                ... up to this; begins anew after a life of 60 s
                give_up: 10                    a process that ends more often than this ...
                window: 300                    ... within so many seconds
              keys: auto                       made for this launch; or a folder, what is missing there is made; or none
              hosts:                           where processes run, by `host`; over ssh unless the address is this machine's
                a: {address: 10.0.0.1}         by which the other hosts reach it; workers listen there at port 5710, 5711, ...
                                               by their number
                b: {address: b.lan, ssh: me@b, executable: bin/winnow, folder: /srv/winnow}
                                               ssh: what it is told, also a name of its configuration (keys, jump hosts);
                                               executable: the program there (default: as here; see --push); folder: what
                                               stands there for this file's folder
              environment: {NAME: value}       for every process

            EXIT CODES
              0 ended by SIGTERM; 64 wrong usage; 65 the topology file or a model is wrong; 69 a port or the ready file \
            is not to be had; 70 a process failed for good; \
            74 the ready file cannot be written; 75 not ready in time; 130 ended by Ctrl-C. A failed process's own code (64 to 78) is passed on.
            """)

    @Argument(help: ArgumentHelp("Topology file.", valueName: "file"))
    var file: String?

    @Option(help: ArgumentHelp("Serve here instead of at the topology's address; port 0: any.", valueName: "host:port"))
    var http: String?

    @Option(
        help: ArgumentHelp(
            "Write the URL to this file once ready; removed at the end. One that a killed launch has left is removed at "
                + "the start, one of a launch that runs is refused.", valueName: "file"))
    var readyFile: String?

    @Option(help: ArgumentHelp("Give up when the cluster cannot serve after this many seconds.", valueName: "seconds"))
    var timeout: Double = 600

    @Option(
        help: ArgumentHelp(
            "Compute as a lesser CPU would, in all processes: sets WINNOW_CPU_LEVEL.", valueName: "level"))
    var cpuLevel: CPULevel?

    @Option(
        help: ArgumentHelp(
            "How long running requests may go on at the end, instead of the topology's drain_time.",
            valueName: "seconds"))
    var drainTime: Int?

    @Flag(help: "Show the command of each process.")
    var verbose = false

    @Flag(help: "Print a JSON schema of topology files, for editors that know YAML, and end.")
    var schema = false

    @Flag(help: "Print the command of each process, for starting them by hand, and start nothing.")
    var dryRun = false

    @Flag(
        help:
            "Copy this program to the other hosts first (rsync or scp over ssh); their CPUs and C library are checked.")
    var push = false

    @Option(help: ArgumentHelp("ssh's configuration file instead of the user's.", valueName: "file"))
    var sshConfig: String?

    @OptionGroup var rendering: LaunchRendering

    @Option(
        help: ArgumentHelp(
            "Program to run instead of this one; with --render its path on the hosts (/usr/local/bin/winnow).",
            valueName: "file"))
    var executable: String?

    func validate() throws {
        guard schema || file != nil else { throw ValidationError("Missing expected argument '<file>'") }
        for (name, text) in [("http", http), ("drain_time", drainTime.map(String.init))] {
            guard let text, let setting = Setting.named(name, of: .coordinator) else { continue }
            if let problem = setting.problem(with: text) { throw ValidationError(problem.text(flag: setting.flag)) }
        }
        guard timeout > 0, timeout <= 86_400 else {
            throw ValidationError("--timeout must be over 0 and at most 86400 seconds, found \(timeout)")
        }
    }

    func run() async throws {
        if schema {
            Console.say(Setting.topologySchema)
            return
        }
        let file = file ?? ""
        guard rendering.render == nil else { return try rendering.write(file, executable: executable) }
        let program = try program()
        var topology: Topology
        let places: Places
        do {
            topology = try Topology(contentsOf: file, areModelsHere: false)
            places = Places(
                topology, executable: program, isPushed: push, configuration: sshConfig, isHere: HostAddress.isHere)
            // Some process here needs the models; where none does, this machine may be without them.
            if places.remote.count < topology.usedHosts.count { topology = try Topology(contentsOf: file) }
        } catch {
            Console.note("winnow launch: \(error)")
            throw ExitCode(65)
        }
        if let cpuLevel {
            topology.shared.set("cpu_level", nil)
            topology.environment[CPULevel.variable] = cpuLevel.rawValue
        }
        var plan = LaunchPlan(
            topology: topology, executable: program, http: http, drainTime: drainTime,
            availableCPUs: HostCPUs.available(), places: places)
        // A `*` port is known only once the coordinator has bound it.
        let commands = plan.commands(
            coordinatorAt: topology.coordinatorAddress.listen.replacing(":*", with: ":PORT"))
        if dryRun {
            Console.say(commands.joined(separator: "\n"))
            return
        }
        let readyFile: ReadyFile?
        do {
            readyFile = try self.readyFile.map { path throws(ReadyFile.Problem) in try ReadyFile(path: path) }
        } catch {
            Console.note("winnow launch: \(error)")
            throw ExitCode(Console.Failure.unavailable.rawValue)
        }
        let keys: LaunchKeys?
        do {
            keys = try LaunchKeys(topology.keys, for: plan)
        } catch {
            Console.note("winnow launch: \(error)")
            throw ExitCode(Console.Failure.unavailable.rawValue)
        }
        defer { keys?.remove() }
        if let keys { plan = plan.with(keys.folder) }
        let printer = LogPrinter(names: ["launch", plan.coordinator.name] + plan.workers.map(\.name))
        printer.print(
            "launch", "\(plan.name): a coordinator and \(counted(plan.workers.count, "worker")); Ctrl-C ends them")
        if verbose { for command in commands { printer.print("launch", command) } }

        if !places.remote.isEmpty {
            let hosts = await RemoteHosts(executable: program, version: WinnowVersion.text)
            let problems = await hosts.prepare(places.remote, isPushed: push)
            for problem in problems { printer.print("launch", problem) }
            printer.flush()
            guard problems.isEmpty else { throw ExitCode(Console.Failure.unavailable.rawValue) }
        }

        // Who waits for the file would wait for ever, so a launch whose file can't be written is no use to anyone.
        let untold = Atomic(false)
        let (stopRequests, requestStop) = AsyncStream.makeStream(
            of: StopReason.self, bufferingPolicy: .bufferingNewest(8))
        let launch = Launch(
            plan: plan,
            patience: Launch.Patience(ready: .seconds(timeout), drain: plan.drainTime + .seconds(5)),
            output: Launch.Output(
                log: { printer.print($0, $1) }, say: { printer.print("launch", $0) },
                ready: { url in
                    // The file first: who has read the line finds the file.
                    do throws(ReadyFile.Problem) {
                        try readyFile?.tell(url)
                        Console.announce("ready \(url)")
                    } catch {
                        printer.print("launch", "\(error)")
                        untold.store(true, ordering: .relaxed)
                        requestStop.yield(.terminate)
                    }
                }))
        let signals = StopSignals()
        let relay = Task { [reasons = signals.reasons] in for await reason in reasons { requestStop.yield(reason) } }
        let stops = Task {
            for await reason in stopRequests {
                readyFile?.remove()
                await launch.stop(reason)
            }
        }
        let outcome = await launch.run()
        relay.cancel()
        stops.cancel()
        signals.cancel()
        readyFile?.remove()
        printer.print("launch", outcome.description)
        printer.flush()
        if untold.load(ordering: .relaxed) { throw ExitCode(Console.Failure.cannotWrite.rawValue) }
        if outcome.exitCode != 0 { throw ExitCode(outcome.exitCode) }
    }

    /// The program to run: this one's own file, whatever name it was called by.
    private func program() throws -> String {
        if let executable { return executable }
        do {
            return try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        } catch {
            Console.note("winnow launch: can't find this program's file; name it with --executable")
            throw ExitCode(70)
        }
    }
}
