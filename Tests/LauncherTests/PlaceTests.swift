// Where the processes of a topology run, what they listen at, and how ssh is told.

import Launcher
import Testing

@Suite("Places")
struct PlaceTests {
    private static let three = """
        model: models/m
        hosts:
          a: {address: 10.0.0.1}
          b: {address: b.example, ssh: me@b, folder: /srv/w, executable: bin/winnow}
          c: {address: "fd00::3"}
        coordinator: {host: a, insecure: true, trace: t.json}
        pipelines:
          - {insecure: true, stages: [{host: a}, {host: b}]}
        spares: {host: c, count: 2}
        """

    private func plan(_ yaml: String, pushed: Bool = false, here: Set<String> = ["10.0.0.1"]) throws -> LaunchPlan {
        let topology = try Topology(yaml: yaml, path: "cluster/t.yaml") { _ in true }
        let places = Places(
            topology, executable: "/opt/winnow", isPushed: pushed, configuration: "cfg", workingDirectory: "/home/me",
            isHere: { here.contains($0) })
        return LaunchPlan(topology: topology, executable: "/opt/winnow", availableCPUs: Array(0..<64), places: places)
    }

    private func value(_ option: String, _ process: ProcessPlan) -> String? {
        process.arguments.firstIndex(of: option).map { process.arguments[$0 + 1] }
    }

    @Test func aHostIsHereByItsAddressOrReachedOverSSH() throws {
        let plan = try plan(Self.three)
        #expect(plan.coordinator.place == .here)
        #expect(plan.workers[0].place == .here)
        #expect(
            plan.workers[1].place
                == .ssh(SSHHost(name: "b", destination: "me@b", executable: "bin/winnow", configuration: "cfg")))
        // Without brackets, which ssh does not know.
        #expect(
            plan.workers[2].place
                == .ssh(SSHHost(name: "c", destination: "fd00::3", executable: "/opt/winnow", configuration: "cfg")))
        let pushed = try self.plan(Self.three, pushed: true, here: [])
        guard case .ssh(let host) = pushed.coordinator.place else { return #expect(Bool(false)) }
        #expect(host.executable == Places.pushedExecutable)
    }

    @Test func everyPortIsKnownBefore() throws {
        let plan = try plan(Self.three)
        let processes = [plan.coordinator] + plan.workers
        #expect(
            processes.map { value("--listen", $0) } == [
                "tcp://10.0.0.1:5700", "tcp://10.0.0.1:5710", "tcp://b.example:5711", "tcp://[fd00::3]:5712",
                "tcp://[fd00::3]:5713",
            ])
        // The system schedules where other hosts have CPUs of their own.
        #expect(processes.allSatisfy { value("--cpus", $0) == nil })
    }

    @Test func whatEveryInterfaceListensAtIsKnownByTheHostsAddress() throws {
        let yaml = """
            model: m
            hosts: {a: {address: 10.0.0.1}, b: {address: 10.0.0.2}}
            coordinator: {host: a, listen: "tcp://*:7000", results: "tcp://*:7900"}
            pipelines: [{stages: [{host: b, listen: "tcp://10.9.0.2:7001"}, {host: b, listen: "tcp://0.0.0.0:7002", advertise: x}]}]
            """
        let plan = try plan(yaml)
        #expect(value("--advertise", plan.coordinator) == "10.0.0.1")
        #expect(value("--results", plan.coordinator) == "tcp://*:7900")
        #expect(plan.workers.map { value("--advertise", $0) } == [nil, "x"])
    }

    @Test func onOneMachineAnyPortOfTheLoopbackWillDo() throws {
        let plan = try plan("model: m\nhosts: {l: {address: 127.0.0.1}}\npipelines: [{stages: 2, host: l}]")
        #expect((plan.workers + [plan.coordinator]).allSatisfy { value("--listen", $0) == "tcp://127.0.0.1:*" })
    }

    @Test func aFilesPathsStartFromTheHostsFolder() throws {
        let plan = try plan(Self.three, here: [])
        #expect(
            plan.workers.map { value("--model", $0) } == [
                "/home/me/cluster/models/m", "/srv/w/models/m", "/home/me/cluster/models/m",
                "/home/me/cluster/models/m",
            ])
        #expect(value("--trace", plan.coordinator) == "/home/me/cluster/t.json")
        // What lies elsewhere lies there on each host.
        let absolute = try self.plan(Self.three.replacing("models/m", with: "/data/m"), here: [])
        #expect(absolute.workers.allSatisfy { value("--model", $0) == "/data/m" })
    }

    @Test func nothingOfAProcessStandsInTheCommandForTheShellThere() {
        let host = SSHHost(name: "b", destination: "me@b", executable: "it's here/winnow", configuration: "cfg")
        let arguments = host.holdArguments
        #expect(Array(arguments.prefix(2)) == ["-F", "cfg"])
        #expect(Array(arguments.suffix(3)) == ["--", "me@b", #"exec 'it'\''s here/winnow' hold"#])
        #expect(arguments.contains("BatchMode=yes") && arguments.contains("ServerAliveInterval=3"))
        #expect(host.file("x") == "me@b:x")
        #expect(SSHHost(name: "c", destination: "me@fd00::3", executable: "w").file("x") == "me@[fd00::3]:x")
    }

    @Test func theCommandsByHandSayWhere() throws {
        let commands = try plan(Self.three).commands(coordinatorAt: "tcp://10.0.0.1:5700")
        #expect(
            commands[0].hasPrefix("/opt/winnow coordinator --model models/m")
                || commands[0].contains("cluster/models/m"))
        #expect(commands[2].hasPrefix("ssh -t me@b 'bin/winnow worker --coordinator tcp://10.0.0.1:5700 "))
        #expect(commands.allSatisfy { !$0.contains("--exit-with-stdin") })
    }

    @Test func aCoordinatorThatComesBackKeepsOutOfThePortAfterARandomOne() throws {
        let plan = try plan("model: m\npipelines: [{stages: 1}]")
        let again = plan.coordinator(listeningAt: "tcp://127.0.0.1:4711", servingAt: nil)
        #expect(value("--listen", again) == "tcp://127.0.0.1:4711")
        #expect(value("--results", again) == "tcp://127.0.0.1:*")
    }
}

@Suite("Reports of hosts")
struct HostReportTests {
    private func report(
        _ machine: String = "x86_64", _ libc: String = "glibc 2.36", _ program: String = "status 0\nsaid 1.0"
    )
        -> HostReport
    {
        HostReport("machine \(machine)\nlibc \(libc)\nrsync /usr/bin/rsync\n\(program)\n")
    }

    @Test func aBinaryRunsOnTheSameCPUWithNoOlderLibrary() {
        let own = report()
        #expect(own.glibc == [2, 36] && own.hasRsync)
        #expect(report("x86_64", "glibc 2.40").problemOfBinary(from: own) == nil)
        #expect(report("x86_64", "glibc 2.4").problemOfBinary(from: own)?.contains("2.4, older than") == true)
        #expect(report("aarch64").problemOfBinary(from: own)?.contains("its CPUs are aarch64") == true)
        #expect(report("x86_64", "").problemOfBinary(from: own)?.contains("no GNU C library") == true)
    }

    @Test func aProgramThatIsMissingOrOtherIsNamedWithTheFix() {
        #expect(report().problemOfProgram("w", version: "1.0", isPushed: false) == nil)
        #expect(report().problemOfProgram("w", version: "1.1", isPushed: false)?.contains("--push") == true)
        let missing = report("x86_64", "glibc 2.36", "status 127\nsaid sh: 1: w: not found")
        #expect(missing.problemOfProgram("w", version: "1.0", isPushed: false)?.contains("--push") == true)
        let library = report("x86_64", "glibc 2.36", "status 127\nsaid error while loading shared libraries: libx.so")
        #expect(library.problemOfProgram("w", version: "1.0", isPushed: true)?.contains("install that library") == true)
        #expect(HostReport("garbage\n\nstatus x").problemOfProgram("w", version: "1.0", isPushed: false) != nil)
    }
}
