// Whatever a flag of a process can say, a document and a topology file can say, and back.

import ChildPrograms
import Foundation
import Launcher
import Settings
import Testing

@Suite(
    "Flags, documents and topology keys", .timeLimit(.minutes(1)),
    .enabled(if: FileManager.default.isExecutableFile(atPath: program), "winnow is not built beside the tests"))
struct TopologyReachTests {
    /// What a topology says by its shape, or the launch to its processes.
    private static let launchsOwn: Set = [
        "stages", "pipeline", "role", "speculator_workers", "coordinator", "exit_with_stdin", "keys", "key",
        "allow_list",
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

    private func run(_ arguments: [String]) async throws -> (output: String, status: ChildProgram.End) {
        let (end, output, _) = try await ChildProgram(program, arguments).finish()
        return (output, end)
    }

    /// Values that are not the default, of every type.
    private func sample(_ setting: Setting) -> [String] {
        func one(_ kind: SettingKind) -> [String] {
            switch kind {
            case .integer(let range): [String(min(range.lowerBound + 2, range.upperBound))]
            case .odd: ["5"]
            case .share: ["0.125"]
            case .choice(_, let words): [words.last { $0 != setting.fallback } ?? ""]
            case .boolean: ["true"]
            case .text: ["it's \"quoted\": # \\ \u{e9}"]
            case .model: ["/models/a b"]
            case .file: ["/tmp/out: 1.json"]
            case .folder: ["/var/cache/a b"]
            case .endpoint: ["tcp://[::1]:5799"]
            case .address: ["[::1]:8099"]
            case .host: ["node7.example"]
            case .cpus: ["0,2-3"]
            case .layers: ["0-4"]
            case .pipelineName: ["yes"]
            case .pipelineShape: ["fast=2", "slow.1=3"]
            case .origin: ["https://a.example", "null"]
            case .list(let element, _): one(element)
            }
        }
        return one(setting.kind)
    }

    /// Files that are no use without each other.
    private func companions(of setting: Setting) -> [String] {
        let pair = ["tls_certificate", "tls_key"]
        return setting.name.hasPrefix("tls_") ? pair.filter { $0 != setting.name } : []
    }

    /// What a process needs beside `setting`, as far as it does not say it itself.
    private func needed(beside setting: Setting, of process: Setting.Process) -> SettingValues {
        var values = SettingValues(process)
        for other in Setting.all(of: process) where other.isRequired { values.set(other.name, to: sample(other)) }
        if setting.name == "speculator_workers" { values.set("speculator", "/models/s") }
        if setting.name == "allow_list" { values.set("keys", "/keys") }
        for name in companions(of: setting) { values.set(name, "/tls/\(name)") }
        return values
    }

    @Test(arguments: [Setting.Process.coordinator, .worker]) func everyFlagIsInTheTable(process: Setting.Process)
        async throws
    {
        let help = try JSONDecoder().decode(
            Help.self, from: Data(try await run([process.rawValue, "--experimental-dump-help"]).output.utf8))
        let flags = help.command.arguments.flatMap { $0.names ?? [] }.filter { $0.kind == "long" }.map(\.name)
        let settings = Setting.all(of: process)
        let booleans = settings.filter { $0.kind == .boolean }.map { "no-\($0.flag)" }
        #expect(
            Set(flags) == Set(settings.map(\.flag) + booleans + ["config", "print-config", "help", "version"]))
    }

    /// Flags to a document, which says the same and gives the same flags.
    @Test(arguments: [Setting.Process.coordinator, .worker])
    func everyFlagCanBeWrittenInADocument(process: Setting.Process) async throws {
        for setting in Setting.all(of: process) {
            var values = needed(beside: setting, of: process)
            values.set(setting.name, to: sample(setting))
            let printed = try await run([process.rawValue] + values.words + ["--print-config"])
            #expect(
                printed.status == .exit(0) && printed.output == values.document, "--\(setting.flag): \(printed.output)")
            let document = try ConfigurationDocument(yaml: printed.output, path: "/w.yaml", of: process)
            #expect(document.values == values, "\(setting.name)")
        }
    }

    @Test func aDocumentIsTakenAndFlagsGoBeforeIt() async throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "winnow-\(UUID()).yaml")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data("model: m\ncoordinator: tcp://h:1\nthreads: 4\ninsecure: true\ncpus: [0, 1]\n".utf8).write(
            to: file)
        let words = ["worker", "--config", file.path, "--threads", "2", "--no-insecure", "--print-config"]
        let folder = file.deletingLastPathComponent().path
        let printed = try await run(words)
        #expect(
            printed.output == """
                coordinator: "tcp://h:1"
                model: "\(folder)/m"
                threads: 2
                cpus: "0,1"
                insecure: false

                """)
    }

    /// Every setting, in every place of a topology that has it, reaches the processes there.
    @Test func everySettingCanBeSaidInATopology() throws {
        for process in [Setting.Process.coordinator, .worker] {
            for setting in Setting.all(of: process) where !Self.launchsOwn.contains(setting.name) {
                if process == .worker && setting.name == "name" { continue }
                #expect(!setting.homes.isEmpty, "\(setting.name)")
                for home in setting.homes { try isHeard(setting, at: home, process) }
            }
        }
    }

    private func isHeard(_ setting: Setting, at home: Setting.Home, _ process: Setting.Process) throws {
        let values = sample(setting)
        var said = SettingValues(process)
        said.set(setting.name, to: values)
        let line = said.document.trimmingCharacters(in: .newlines)
        let base = ["model", "speculator"].filter { home != .top || $0 != setting.name }.map { "\($0): /\($0)\n" }
            .joined()
        let stages = "pipelines: [{stages: 1}]\n"
        let yaml: String
        switch home {
        case .top: yaml = base + stages + line
        case .coordinator, .speculation:
            let beside = companions(of: setting).map { ", \($0): /tls/\($0)" }.joined()
            yaml = base + stages + "\(home): {\(line)\(beside)}"
        case .worker, .mainWorker: yaml = base + "pipelines: [{stages: [{\(line)}]}]"
        case .pipeline where setting.kind == .layers:
            yaml = base + "pipelines: [{stages: 1, layers: auto}]"
        case .pipeline: yaml = base + "pipelines: [{stages: 1, \(line)}]"
        }
        let topology = try Topology(yaml: yaml, path: "/t.yaml") { _ in true }
        let plan = LaunchPlan(topology: topology, executable: "winnow")
        let heard: ProcessPlan? =
            switch home {
            case .coordinator, .speculation: plan.coordinator
            case .top: process == .worker ? plan.workers.first : plan.coordinator
            case .worker, .mainWorker, .pipeline: plan.workers.first
            }
        // What coordinator and workers both have is looked at once for each.
        guard let settings = heard?.settings, settings.process == process else { return }
        let expected = home == .pipeline && setting.kind == .layers ? ["auto"] : values
        #expect(settings.said(setting.name) == expected, "\(setting.name) in \(home)")
    }
}
