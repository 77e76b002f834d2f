// What a topology file may say.

import Launcher
import Layers
import Settings
import Testing

/// What a file is refused for first; nil: it is not.
func refusal(of yaml: String, fileExists: (String) -> Bool = { _ in true }) -> TopologyError? {
    do throws(TopologyError) {
        _ = try Topology(yaml: yaml, path: "cluster/demo.yaml", fileExists: fileExists)
        return nil
    } catch {
        return error
    }
}

@Suite("Topology file")
struct TopologyTests {
    private static let minimal = """
        model: models/main
        pipelines:
          - stages: 1
        """

    private func parse(
        _ yaml: String, path: String = "cluster/demo.yaml", fileExists: (String) -> Bool = { _ in true }
    ) throws(TopologyError) -> Topology {
        try Topology(yaml: yaml, path: path, fileExists: fileExists)
    }

    @Test func aMinimalFileGetsDefaults() throws {
        let topology = try parse(Self.minimal)
        #expect(topology.model == "cluster/models/main")
        #expect(topology.name == "main")
        #expect(topology.speculator == nil)
        #expect(topology.coordinator.http == "127.0.0.1:8080")
        #expect(topology.coordinator.listen == nil)
        #expect(topology.coordinatorAddress.listen == "tcp://127.0.0.1:*")
        #expect(topology.pipelines.map(\.stages.count) == [1])
        #expect(topology.speculation == SettingValues(.coordinator))
        #expect(topology.pipelines[0].name == "main")
        #expect(topology.spares == [] && topology.speculators == [])
        #expect(topology.restart == RestartPolicy())
    }

    /// Aliases of aliases, in a key that has to be compared with others.
    @Test(arguments: ["? *k\n: 1\n", "? [*k, *k]\n: 1\n", "hosts: {*k : 1, ? *j : 2}\n", "{\"a\":*k,?*j : 1}\n"])
    func aFewLinesDoNotStandForBillions(key: String) throws {
        var yaml = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        for (name, last) in zip("bcdefghijk", "abcdefghij") {
            let ten = [String](repeating: "*\(last)", count: 10)
            yaml += "\(name): &\(name) [\(ten.joined(separator: ", "))]\n"
        }
        let (topology, faults) = Topology.read(yaml: yaml + key, path: "t.yaml") { _ in true }
        #expect(topology == nil && faults.count == 1)
        #expect(faults.first?.problem.contains("aliases (`*name`); at most 12 are taken") == true)
        // A few are as good as anywhere else, and not every star is one.
        let few = """
            model: m
            coordinator: {http: "*:8080", listen: "tcp://*:5700"} # *not* one, 2 *times*
            pipelines: [{name: a, stages: &s [{threads: 2}, {threads: 3}]}, {name: b, stages: *s}]
            """
        #expect(try parse(few).pipelines.map(\.stages.count) == [2, 2])
        let long = few + "\n#" + String(repeating: "x", count: 64 << 10)
        #expect(throws: TopologyError.self) { try parse(long) }
    }

    @Test func aFleetIsRead() throws {
        let topology = try parse(
            """
            model: m
            speculator: s
            coordinator: {replay_wait: 0, max_replays: 1, stall: 2, wire_dtype: bf16, trace: t.json}
            pipelines:
              - stages: 2
              - {name: slow, stages: [{threads: 2}, {threads: 3}, {}]}
              - stages: 1
            spares: [{threads: 4, listen: "tcp://127.0.0.1:5800"}, {kv_tokens: 77}]
            speculators: {count: 2, threads: 5, log_level: debug}
            restart: {policy: on-failure, backoff: 0.25, max_backoff: 10, give_up: 3, window: 60}
            """)
        #expect(topology.pipelines.map(\.name) == ["main", "slow", "pipeline-2"])
        #expect(topology.pipelines.map(\.stages.count) == [2, 3, 1])
        #expect(topology.stageCount == 6)
        #expect(topology.spares.map(\.threads) == [4, nil])
        #expect(topology.spares.map { $0.settings.integer("kv_tokens") } == [nil, 77])
        #expect(topology.spares.map(\.listen) == ["tcp://127.0.0.1:5800", nil])
        #expect(topology.speculators.map(\.threads) == [5, 5])
        #expect(topology.speculators.map { $0.settings.text("log_level") } == ["debug", "debug"])
        let restart = RestartPolicy(
            condition: .onFailure, backoff: .milliseconds(250), maxBackoff: .seconds(10), giveUp: 3,
            window: .seconds(60))
        #expect(topology.restart == restart)
        let coordinator = topology.coordinator.settings
        #expect(coordinator.integer("replay_wait") == 0 && coordinator.integer("max_replays") == 1)
        #expect(coordinator.integer("stall") == 2)
        #expect(coordinator.text("wire_dtype") == "bf16" && coordinator.text("trace") == "cluster/t.json")
    }

    @Test func aNumberOrAWordIsEnough() throws {
        let topology = try parse(Self.minimal + "\nspeculator: s\nspares: 2\nspeculators: 3\nrestart: never")
        #expect(topology.spares.count == 2 && topology.speculators.count == 3)
        #expect(topology.restart == RestartPolicy(condition: .never))
        #expect(try parse(Self.minimal + "\nspares: 0\nspeculators: 0").spares == [])
        #expect(try parse(Self.minimal + "\nrestart: {backoff: 40}").restart.maxBackoff == .seconds(40))
    }

    @Test func everyKeyIsRead() throws {
        let topology = try parse(
            """
            name: needle
            model: /models/main
            speculator: ../small
            cpu_level: avx2
            coordinator:
              {host: here, http: "[::1]:0", listen: "tcp://127.0.0.1:5700",
               results: "tcp://127.0.0.1:5900", threads: 2, cpus: 0-1, advertise: a,
               insecure: true, kv_tokens: 9, micro_batch_tokens: 8, max_requests: 7, max_queued_tokens: 6,
               request_timeout: 5, cors_origin: ["https://a.example", "null"], max_body_bytes: 2048, max_connections: 3,
               max_connections_per_address: 2, drain_time: 4, log_level: debug}
            speculation:
              {keep_rate: 0.25, selection: grid, look_ahead: 4, chunk: 64, stride: 16, pool: 5, tail: 0, threshold: 100,
               speculator_attention: sparse, speculator_most_keys: 0.45}
            pipelines:
              - threads: 3
                kv_tokens: 1000
                log_level: warning
                advertise: b
                insecure: true
                stages:
                  - {layers: 0-4, cpus: [2, 3]}
                  - {layers: 5-5, threads: 1, kv_tokens: 2000, listen: "ipc:///tmp/s1", log_level: error,
                     advertise: "127.0.0.1", insecure: false}
            hosts: {here: {address: 127.0.0.1}}
            environment: {MALLOC_ARENA_MAX: 2}
            """)
        #expect(topology.model == "/models/main")
        #expect(topology.speculator == "cluster/../small")
        let coordinator = topology.coordinator
        #expect(coordinator.host == "here")
        #expect(coordinator.http == "[::1]:0")
        #expect(coordinator.listen == "tcp://127.0.0.1:5700")
        #expect(coordinator.results == "tcp://127.0.0.1:5900")
        #expect(coordinator.threads == 2)
        #expect(coordinator.cpus == "0-1")
        #expect(topology.shared.text("cpu_level") == "avx2")
        let said: [String: [String]] = [
            "http": ["[::1]:0"], "listen": ["tcp://127.0.0.1:5700"], "results": ["tcp://127.0.0.1:5900"],
            "threads": ["2"], "cpus": ["0-1"],
            "advertise": ["a"],
            "insecure": ["true"], "kv_tokens": ["9"], "micro_batch_tokens": ["8"], "max_requests": ["7"],
            "max_queued_tokens": ["6"], "request_timeout": ["5"], "cors_origin": ["https://a.example", "null"],
            "max_body_bytes": ["2048"], "max_connections": ["3"], "max_connections_per_address": ["2"],
            "drain_time": ["4"], "log_level": ["debug"],
        ]
        #expect(Set(coordinator.settings.saidSettings.map(\.name)) == Set(said.keys))
        for (name, values) in said { #expect(coordinator.settings.said(name) == values) }
        let speculation = [
            "keep_rate": "0.25", "selection": "grid", "look_ahead": "4", "chunk": "64", "stride": "16", "pool": "5",
            "tail": "0", "threshold": "100", "speculator_attention": "sparse", "speculator_most_keys": "0.45",
        ]
        #expect(Set(topology.speculation.saidSettings.map(\.name)) == Set(speculation.keys))
        for (name, value) in speculation { #expect(topology.speculation.text(name) == value) }
        let stages = topology.pipelines[0].stages
        #expect(stages.map(\.layers) == [LayerSpan(0..<5), LayerSpan(5..<6)])
        #expect(stages.map(\.threads) == [3, 1])
        #expect(stages.map { $0.settings.integer("kv_tokens") } == [1000, 2000])
        #expect(stages.map(\.cpus) == ["2,3", nil])
        #expect(stages.map { $0.settings.text("log_level") } == ["warning", "error"])
        #expect(stages.map { $0.settings.text("advertise") } == ["b", "127.0.0.1"])
        #expect(stages.map { $0.settings.boolean("insecure") } == [true, false])
        #expect(stages.map(\.listen) == [nil, "ipc:///tmp/s1"])
        #expect(topology.environment == ["MALLOC_ARENA_MAX": "2"])
    }

    @Test func aNumberOfStagesIsThatManyEqualStages() throws {
        let topology = try parse(
            """
            model: m
            pipelines:
              - {stages: 3, threads: 2}
            """)
        #expect(topology.stageCount == 3)
        #expect(topology.pipelines[0].stages.allSatisfy { $0.threads == 2 && $0.layers == nil })
    }

    @Test func aKeyWithoutAValueIsNotGiven() throws {
        let topology = try parse(Self.minimal + "\nspeculator:\nname: ~")
        #expect(topology.speculator == nil)
        #expect(topology.name == "main")
    }

    @Test func aModelThatIsNotThereIsNamedWithItsLine() throws {
        let error = try #require(refusal(of: "name: x\n" + Self.minimal) { _ in false })
        #expect(error.line == 2)
        #expect(error.key == "model")
        #expect(error.problem.contains("cluster/models/main/config.json"))
        #expect(error.description.hasPrefix("cluster/demo.yaml:2: model: there is no "))
    }

    @Test func aModelMayBeAFileOfItsOwn() throws {
        let yaml = "model: main.gguf\npipelines: [{stages: 1}]"
        #expect(try parse(yaml) { $0 == "cluster/main.gguf" }.model == "cluster/main.gguf")
        #expect(try #require(refusal(of: yaml) { _ in false }).problem == "there is no cluster/main.gguf")
    }

    /// A folder lies beside the file, on every host beside what stands for it there; `none` is no folder.
    @Test func aFolderIsFoundFromTheFileAndNoneIsAWord() throws {
        let yaml = """
            model: m
            hosts: {a: {address: 10.0.0.1, folder: /srv/w}, b: {address: 10.0.0.2}}
            coordinator: {host: a, weights_cache: none}
            pipelines: [{stages: [{host: a}, {host: b, weights_cache: none}, {host: b}], weights_cache: kept}]
            """
        let topology = try Topology(yaml: yaml, path: "/here/t.yaml") { _ in true }
        let places = Places(topology, executable: "/bin/winnow") { _ in false }
        let plan = LaunchPlan(topology: topology, executable: "/bin/winnow", places: places)
        let caches = ([plan.coordinator] + plan.workers).map { $0.settings?.text("weights_cache") }
        #expect(caches == ["none", "/srv/w/kept", "none", "/here/kept"])
    }

    @Test func aFileThatIsNotThereIsAnError() {
        #expect(throws: TopologyError.self) { try Topology(contentsOf: "/nonexistent/topology.yaml") }
        #expect(throws: TopologyError.self) { try Topology(contentsOf: "/tmp") }
    }
}
