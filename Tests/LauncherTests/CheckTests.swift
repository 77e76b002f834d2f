// Topologies that are wrong, each with what is to be found; and those that are right.

import Foundation
import Launcher
import Testing

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
    private static let now: Double = 1_000_000

    /// A host with all that a file wants, but for what `changes` say.
    private func facts(_ question: HostQuestion, _ changes: [String], cpus: Int = 4) -> HostFacts {
        var facts = HostFacts()
        facts.version = Self.version
        facts.clock = Self.now
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
        for change in changes {
            let words = change.split(separator: " ").map(String.init)
            switch words[0] {
            case "busy": facts.busyEndpoints[words[1]] = "Address already in use"
            case "missing": facts.models["t/\(words[1])"]?.problem = "no such file"
            case "tokenizer": facts.models["t/\(words[1])"]?.tokenizer = "other"
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
        var answers: [String: HostAnswer] = [:]
        for (host, _, question) in check.questions { answers[host] = .facts(facts(question, changes, cpus: cpus)) }
        return check.findings(answers, version: Self.version, clock: Self.now)
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
        let found = check.findings(["a": .silence("gave no answer")], version: "1.0", clock: 0)
        #expect(found.map(\.host) == ["a"] && found[0].exitCode == 69)
    }

    @Test func weightsThatDifferBetweenHostsAreFound() throws {
        let yaml = """
            model: /m
            hosts: {a: {address: 10.0.0.1}, b: {address: 10.0.0.2}}
            coordinator: {host: a, allow_plaintext: true}
            pipelines: [{allow_plaintext: true, stages: [{host: a}, {host: b}]}]
            """
        let topology = try Topology(yaml: yaml, path: "t.yaml") { _ in true }
        let places = Places(topology, executable: "/w", workingDirectory: "/") { _ in false }
        let check = Check(topology, plan: LaunchPlan(topology: topology, executable: "w", places: places))
        var answers: [String: HostAnswer] = [:]
        for (host, _, question) in check.questions {
            var facts = facts(question, [])
            facts.models["/m"]?.fingerprint = host
            answers[host] = .facts(facts)
        }
        let found = check.findings(answers, version: Self.version, clock: Self.now)
        #expect(found.map(\.key) == ["model"] && found[0].host == "b" && found[0].problem.contains("other weights"))
    }
}
