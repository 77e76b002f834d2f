// Topologies that are wrong, each with what is to be found; and those that are right.

import Foundation
import Launcher
import Layers
import Testing
import Wire

@Suite("Check")
struct CheckTests {
    /// A file of `Topologies`: what it expects and what its host is like stand in comments at its top.
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var text: String
        var testDescription: String { name }

        /// The words after `# KEY: `.
        func lines(_ key: String) -> [String] {
            text.split(separator: "\n").filter { $0.hasPrefix("# \(key): ") }
                .map { String($0.dropFirst(key.count + 4)) }
        }
    }

    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()

    static let cases: [Case] = {
        let broken = folder.appending(path: "Topologies")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: broken.path)) ?? []
        return names.sorted().compactMap { name in
            (try? String(contentsOf: broken.appending(path: name), encoding: .utf8)).map { Case(name: name, text: $0) }
        }
    }()

    private static let version = "1.0"

    /// A host with all that a file wants, but for what `changes` say.
    private func facts(_ question: HostQuestion, _ changes: [String], cpus: Int = 4) -> HostFacts {
        var facts = HostFacts()
        facts.version = Self.version
        facts.cpuLevels = ["portable", "avx2", "avx512", "avx512vnni", "avx512bf16"]
        facts.cpus = Array(0..<cpus)
        facts.memory = 8 << 30
        facts.openFiles = 65_536
        for path in question.models {
            var model = HostFacts.Model()
            model.fingerprint = path.split(separator: "/").last.map(String.init) ?? path
            model.tokenizer = "t"
            model.layerCount = 4
            model.layerParameters = 4_000_000
            model.outerParameters = 1_000_000
            model.cacheValues = 128
            facts.models[path] = model
        }
        func model(_ name: String, _ change: (inout HostFacts.Model) -> Void) {
            for path in facts.models.keys where path.hasSuffix("/\(name)") {
                change(&facts.models[path, default: HostFacts.Model()])
            }
        }
        func cache(_ problem: String) -> HostFacts.Cache {
            var cache = HostFacts.Cache()
            (cache.path, cache.problem) = ("/cache", problem)
            return cache
        }
        for change in changes {
            let words = change.split(separator: " ").map(String.init)
            switch words[0] {
            case "busy": facts.busyEndpoints[words[1]] = "Address already in use"
            case "missing": model(words[1]) { $0.problem = "t/\(words[1]): no such file" }
            case "tokenizer": model(words[1]) { $0.tokenizer = "other" }
            case "part":
                model(words[1]) {
                    $0.fingerprint = "main"
                    $0.held = words[2]
                }
            case "cache": facts.caches[words[1] == "default" ? "" : words[1]] = cache(words[2])
            case "closed": break
            case "memory": facts.memory = Int(words[1])
            case "quota": facts.cpuQuota = Double(words[1])
            case "files": facts.openFiles = Int(words[1])
            case "levels": facts.cpuLevels = Array(words.dropFirst())
            case "clock": facts.clock += Double(words[1]) ?? 0
            case "version": facts.version = words[1]
            case "slow": facts.slowProducts[words[1]] = "oneDNN is not there"
            default: Issue.record("no such change: \(change)")
            }
        }
        return facts
    }

    private func findings(_ text: String, path: String, _ changes: [String] = [], cpus: Int = 4) -> [CheckFinding] {
        let (topology, faults) = Topology.read(yaml: text, path: path) { _ in true }
        guard faults.isEmpty, let topology else { return faults.map(CheckFinding.init) }
        let places = Places(topology, executable: "/opt/winnow", workingDirectory: "/") { _ in false }
        let check = Check(topology, plan: LaunchPlan(topology: topology, executable: "winnow", places: places))
        var answers = CheckAnswers()
        for (host, _, question) in check.questions {
            answers.hosts[host] = .facts(facts(question, changes, cpus: cpus))
        }
        for change in changes where change.hasPrefix("closed ") {
            let words = change.split(separator: " ").map(String.init)
            answers.unreached[words[1], default: [:]][words[2]] = "Connection refused"
        }
        return check.findings(answers, version: Self.version)
    }

    @Test func thereAreEnoughOfThem() { #expect(Self.cases.count >= 25) }

    @Test(arguments: cases) func everyFaultIsFoundAndNoOther(broken: Case) {
        let found = findings(broken.text, path: "t/t.yaml", broken.lines("host"))
        let said = found.map { finding in
            let place = finding.line.map { "\($0)" } ?? finding.severity.rawValue
            return "\(place) \(finding.key.isEmpty ? "-" : finding.key)"
        }
        #expect(said.sorted() == broken.lines("expects").sorted(), "\(found)")
        for finding in found {
            #expect(!finding.problem.isEmpty && finding.fix.hasSuffix(".") || finding.fix.hasSuffix("?"), "\(finding)")
        }
    }

    /// The files of cluster/, on hosts as large as they want.
    @Test func theWorkedExamplesAreRight() throws {
        let cluster = Self.folder.deletingLastPathComponent().deletingLastPathComponent().appending(path: "cluster")
        let folders = try FileManager.default.contentsOfDirectory(atPath: cluster.path).sorted()
        var files = folders.map { cluster.appending(path: $0).appending(path: "cluster.yaml") }
            .filter { FileManager.default.fileExists(atPath: $0.path) }
        files.append(cluster.appending(path: "demo.yaml"))
        #expect(files.count >= 6)
        for file in files {
            let text = try String(contentsOf: file, encoding: .utf8)
            #expect(findings(text, path: file.path, cpus: 64) == [], "\(file.path)")
        }
    }

    @Test func aHostThatDoesNotAnswerIsAFinding() throws {
        let topology = try Topology(
            yaml: """
                model: m
                hosts: {a: {address: 10.0.0.1}}
                coordinator: {host: a}
                pipelines: [{stages: 1, host: a}]
                """,
            path: "t.yaml"
        ) { _ in true }
        let places = Places(topology, executable: "/w", workingDirectory: "/") { _ in false }
        let check = Check(topology, plan: LaunchPlan(topology: topology, executable: "w", places: places))
        #expect(check.questions.map(\.host) == ["a"] && check.questions[0].ssh?.destination == "10.0.0.1")
        var answers = CheckAnswers()
        answers.hosts["a"] = .silence("gave no answer")
        let found = check.findings(answers, version: "1.0")
        #expect(found.map(\.host) == ["a"] && found[0].exitCode == 69 && found[0].fix.contains("--push"))
    }

    @Test func weightsThatDifferBetweenHostsAreFound() throws {
        let yaml = """
            model: /m
            hosts: {a: {address: 10.0.0.1}, b: {address: 10.0.0.2}}
            coordinator: {host: a}
            pipelines: [{stages: [{host: a}, {host: b}]}]
            """
        let topology = try Topology(yaml: yaml, path: "t.yaml") { _ in true }
        let places = Places(topology, executable: "/w", workingDirectory: "/") { _ in false }
        let check = Check(topology, plan: LaunchPlan(topology: topology, executable: "w", places: places))
        var answers = CheckAnswers()
        for (host, _, question) in check.questions {
            var facts = facts(question, [])
            facts.models["/m"]?.fingerprint = host
            answers.hosts[host] = .facts(facts)
        }
        let found = check.findings(answers, version: Self.version)
        #expect(found.map(\.key) == ["model"] && found[0].host == "b" && found[0].problem.contains("other weights"))
    }

    // MARK: ways between hosts

    private func check(_ yaml: String) throws -> Check {
        let topology = try Topology(yaml: yaml, path: "t.yaml") { _ in true }
        let places = Places(topology, executable: "/w", workingDirectory: "/") { _ in false }
        return Check(topology, plan: LaunchPlan(topology: topology, executable: "w", places: places))
    }

    /// A talk in which this process plays every host: what one listens at another finds, but for what is `closed`.
    @Test func everyWayIsTriedFromBothEnds() async throws {
        let check = try check(
            """
            model: /m
            speculator: /s
            hosts: {a: {address: 10.0.0.1}, b: {address: 10.0.0.2}, c: {address: 10.0.0.3}}
            coordinator: {host: a}
            pipelines: [{stages: [{host: a}, {host: b}]}]
            speculators: {count: 1, host: c}
            spares: {count: 1, host: c}
            """)
        let ways = check.crossings.map { "\($0.from) \($0.endpoint)" }
        #expect(
            Set(ways) == [
                "b tcp://10.0.0.1:5700", "c tcp://10.0.0.1:5700", "b tcp://10.0.0.1:5701", "c tcp://10.0.0.1:5701",
                "c tcp://10.0.0.1:5710", "a tcp://10.0.0.2:5711", "b tcp://10.0.0.1:5710", "c tcp://10.0.0.2:5711",
                "a tcp://10.0.0.3:5712", "a tcp://10.0.0.3:5713", "b tcp://10.0.0.3:5713",
            ])
        var answers = CheckAnswers()
        for (host, _, question) in check.questions { answers.hosts[host] = .facts(facts(question, [])) }
        answers.unreached = [
            "a": ["tcp://10.0.0.2:5711": "Connection refused"], "c": ["tcp://10.0.0.2:5711": "Connection refused"],
        ]
        let found = check.findings(answers, version: Self.version)
        #expect(found.map(\.key) == ["pipelines[0].stages[1].listen"] && found[0].host == "b")
        #expect(found[0].problem.contains("from a, c: Connection refused"))
    }

    /// Real sockets: a listener that is there, one that says another word, a port that is closed, a name that is none.
    @Test func aListenerIsToldFromStrangers() throws {
        func free() throws -> String { "tcp://127.0.0.1:\(try freePort())" }
        let (open, other, closed) = (try free(), try free(), try free())
        let listeners = [PortProbe([open], word: "mine"), PortProbe([other], word: "another's")]
        #expect(listeners.flatMap(\.endpoints) == [open, other])
        #expect(PortProbe.problem(ofBinding: open) == "Address already in use")
        let unreached = PortProbe.unreached(
            [open: "mine", other: "mine", closed: "mine", "tcp://999.0.0.1:5700": "mine"], within: .seconds(10))
        #expect(Set(unreached.keys) == [other, closed, "tcp://999.0.0.1:5700"])
        #expect(unreached[other] == "another host or program answers there")
        #expect(unreached[closed] == "Connection refused")
        #expect(unreached["tcp://999.0.0.1:5700"] == "no such host")
        withExtendedLifetime(listeners) {}
    }

    private func freePort() throws -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 ? getsockname(descriptor, $0, &size) : -1
            }
        }
        try #require(status == 0)
        return UInt16(bigEndian: address.sin_port)
    }

    // MARK: keys

    /// Keys that a launch could not use, each named; what is missing is made and no fault.
    @Test func keysThatDoNotFitAreFound() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "check-keys-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let topology = try Topology(
            yaml: "model: /m\nspeculator: /s\nkeys: \(folder)\npipelines: [{stages: 3}]\nspeculators: 1", path: "t.yaml"
        ) { _ in true }
        let plan = LaunchPlan(topology: topology, executable: "w")
        func problems() -> [String] {
            let facts = KeyFacts(topology.keys, for: plan)
            let found = Check(topology, plan: plan).findings(CheckAnswers(), version: "1", keys: facts)
            return found.filter { $0.key == "keys" }.map { "\($0.problem). \($0.fix)" }
        }
        #expect(problems() == [])
        let keys = KeyFolder(path: folder)
        try keys.prepare()
        try keys.make("worker-0", role: .stage)
        #expect(problems() == [])
        // Others may read it; it is on the list as something else; it is another coordinator's; it was struck off.
        #expect(chmod(keys.keyPath("worker-0"), 0o644) == 0)
        try keys.make("speculator-0", role: .stage)
        let other = KeyFolder(path: folder + "/other")
        try other.prepare(for: [("worker-1", .stage)])
        try FileManager.default.copyItem(atPath: other.keyPath("worker-1"), toPath: keys.keyPath("worker-1"))
        try keys.make("worker-2", role: .stage)
        var list = try AllowList(path: keys.listPath)
        _ = list.revoke("worker-2")
        try list.write(to: keys.listPath)
        let found = problems()
        #expect(found.count == 4, "\(found)")
        for words in ["mode 644", "as a stage's", "another coordinator", "not on the list"] {
            #expect(found.count { $0.contains(words) } == 1, "\(words): \(found)")
        }
        #expect(throws: KeyError.self) { try keys.prepare(for: [("worker-1", .stage)]) }
        #expect(chmod(folder, 0o777) == 0)
        #expect(problems().contains { $0.contains("others may change it") })
    }
}
