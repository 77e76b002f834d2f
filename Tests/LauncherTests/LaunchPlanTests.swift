// The arguments each process gets.

import Launcher
import Testing

@Suite("Launch plan")
struct LaunchPlanTests {
    private func topology(_ yaml: String) throws -> Topology {
        try Topology(yaml: yaml, path: "t.yaml") { _ in true }
    }

    @Test func argumentsFollowTheTopology() throws {
        let plan = LaunchPlan(
            topology: try topology(
                """
                name: needle
                model: main
                speculator: small
                coordinator: {http: "127.0.0.1:8080", threads: 2, kv_tokens: 9000, micro_batch_tokens: 256}
                speculation: {keep_rate: 0.1, look_ahead: 4}
                pipelines:
                  - stages:
                      - {layers: 0-1, threads: 1, cpus: "3"}
                      - {layers: 2-3, kv_tokens: 4096}
                environment: {A: b}
                """), executable: "/bin/winnow")
        #expect(
            plan.coordinator.arguments == [
                "coordinator", "--model", "main", "--speculator", "small", "--name", "needle", "--http",
                "127.0.0.1:8080", "--listen", "tcp://127.0.0.1:*", "--stages", "2", "--threads", "2", "--kv-tokens",
                "9000",
                "--micro-batch-tokens", "256", "--keep-rate", "0.1", "--look-ahead", "4", "--exit-with-stdin",
            ])
        let workers = plan.workers(coordinatorAt: "tcp://127.0.0.1:4711")
        #expect(workers.map(\.name) == ["worker-0", "worker-1"])
        #expect(
            workers[0].arguments == [
                "worker", "--coordinator", "tcp://127.0.0.1:4711", "--model", "main", "--listen", "tcp://127.0.0.1:*",
                "--name", "worker-0", "--layers", "0-1", "--threads", "1", "--cpus", "3", "--exit-with-stdin",
            ])
        #expect(workers[1].arguments.contains("--kv-tokens"))
        #expect((workers + [plan.coordinator]).allSatisfy { $0.environment == ["A": "b"] })
    }

    @Test func aPipelineMayMeasureItsHosts() throws {
        let plan = LaunchPlan(
            topology: try topology(
                "model: m\nspares: {count: 2, layers: auto}\npipelines: [{stages: 2, layers: auto}]"),
            executable: "x")
        let workers = plan.workers(coordinatorAt: "tcp://127.0.0.1:4711")
        #expect(workers.count == 4)
        for worker in workers {
            let place = try #require(worker.arguments.firstIndex(of: "--layers"))
            #expect(worker.arguments[place + 1] == "auto")
        }
    }

    @Test func stagesDoNotShareCPUsUnlessTold() throws {
        func cpus(_ yaml: String, _ available: [Int]) throws -> [String?] {
            let plan = LaunchPlan(topology: try topology(yaml), executable: "x", availableCPUs: available)
            return (plan.workers + [plan.coordinator]).map { process in
                process.arguments.firstIndex(of: "--cpus").map { process.arguments[$0 + 1] }
            }
        }
        let three = "model: m\npipelines: [{stages: 2, threads: 2}]"
        #expect(try cpus(three, [0, 1, 2, 3, 8, 9]) == ["0,1", "2,3", "8,9"])
        #expect(try cpus(three, [0, 1, 2, 3, 8]) == ["0,1", "2,3", "8"])
        #expect(try cpus(three, [0, 1, 2, 3]) == [nil, nil, nil])
        #expect(try cpus(three, []) == [nil, nil, nil])
        let told = "model: m\npipelines: [{stages: [{cpus: \"5\"}, {threads: 1}]}]"
        #expect(try cpus(told, [0, 1, 2, 3]) == ["5", nil, nil])
    }

    @Test func speculatorsComputeBesideTheStagesAndSparesWhereThereIsRoom() throws {
        func cpus(_ available: [Int]) throws -> [String: String] {
            let yaml = "model: m\nspeculator: s\npipelines: [{stages: 1}, {stages: 1}]\nspeculators: 1\nspares: 1"
            let plan = LaunchPlan(topology: try topology(yaml), executable: "x", availableCPUs: available)
            var cpus: [String: String] = [:]
            for process in plan.workers + [plan.coordinator] {
                cpus[process.name] = process.arguments.firstIndex(of: "--cpus").map { process.arguments[$0 + 1] }
            }
            return cpus
        }
        let three = ["worker-0": "0", "worker-1": "1", "speculator-0": "2"]
        #expect(try cpus([0, 1]) == [:])
        #expect(try cpus([0, 1, 2]) == three)
        #expect(try cpus([0, 1, 2, 3]) == three.merging(["spare-0": "3"]) { $1 })
        #expect(try cpus([0, 1, 2, 3, 4]) == three.merging(["spare-0": "3", "coordinator": "4"]) { $1 })
    }

    @Test func everyWorkerKnowsItsPart() throws {
        let yaml = """
            model: m
            speculator: s
            pipelines:
              - {name: fast, stages: 1}
              - {stages: 2}
            speculators: {count: 2, threads: 3}
            spares: [{kv_tokens: 9}]
            """
        let plan = LaunchPlan(topology: try topology(yaml), executable: "x")
        func words(_ process: ProcessPlan) -> String { process.arguments.joined(separator: " ") }
        #expect(words(plan.coordinator).contains(" --speculator-workers --pipeline fast=1 --pipeline pipeline-1=2 "))
        #expect(words(plan.coordinator).contains(" --speculator s ") && !words(plan.coordinator).contains("--stages"))
        let names = ["worker-0", "worker-1", "worker-2", "speculator-0", "speculator-1", "spare-0"]
        #expect(plan.workers.map(\.name) == names)
        #expect(
            plan.workers.map(\.part) == [
                .stage(pipeline: "fast"), .stage(pipeline: "pipeline-1"), .stage(pipeline: "pipeline-1"), .speculator,
                .speculator, .spare,
            ])
        #expect(words(plan.workers[1]).hasPrefix("worker --model m --pipeline pipeline-1 --listen "))
        #expect(words(plan.workers[3]).hasPrefix("worker --model s --role speculator --listen "))
        #expect(words(plan.workers[4]).contains(" --name speculator-1 --threads 3 "))
        #expect(words(plan.workers[5]).hasSuffix(" --name spare-0 --kv-tokens 9 --exit-with-stdin"))
        #expect(!words(plan.workers[5]).contains("--pipeline"))
    }

    @Test func aSpareMakesTheStagesNameTheirPipeline() throws {
        let plan = LaunchPlan(topology: try topology("model: m\npipelines: [{stages: 2}]\nspares: 1"), executable: "x")
        #expect(plan.coordinator.arguments.contains("--stages"))
        #expect(plan.workers.map { $0.arguments.contains("--pipeline") } == [true, true, false])
    }

    @Test func numberFormatsReachEveryProcess() throws {
        let plan = LaunchPlan(
            topology: try topology("model: m\ndtype: int8\npipelines: [{stages: 2}]"), executable: "x")
        for process in plan.workers + [plan.coordinator] {
            let index = try #require(process.arguments.firstIndex(of: "--dtype"))
            #expect(process.arguments[index + 1] == "int8")
        }
    }

    /// Every key that names a flag of a process reaches it.
    @Test func everyKeyBecomesItsFlag() throws {
        let plan = LaunchPlan(
            topology: try topology(
                """
                model: main
                speculator: small
                cpu_level: avx2
                coordinator:
                  {cors_origin: "*", max_body_bytes: 2048, max_connections: 7, max_connections_per_address: 8,
                   max_requests: 3, max_queued_tokens: 4, request_timeout: 5, drain_time: 6, advertise: a,
                   insecure: true, log_level: debug, replay_wait: 9, max_replays: 10, stall: 11,
                   wire_dtype: bf16, speculative_decoding: 3, trace: out.json, api_keys: none, tls_certificate: c.pem, tls_key: c.key,
                   tls_client_ca: ca.pem, admin: "a:9090"}
                speculation: {chunk: 64, stride: 16, pool: 5}
                pipelines: [{stages: 1, advertise: b, insecure: true, log_level: error}]
                """), executable: "x")
        func has(_ process: ProcessPlan, _ words: String) -> Bool {
            process.arguments.joined(separator: " ").contains(words)
        }
        for words in [
            "--max-requests 3", "--max-queued-tokens 4", "--request-timeout 5", "--drain-time 6", "--advertise a",
            "--insecure", "--log-level debug", "--cors-origin * --max-body-bytes 2048",
            "--max-connections 7", "--max-connections-per-address 8", "--cpu-level avx2", "--chunk 64", "--stride 16",
            "--pool 5", "--replay-wait 9", "--max-replays 10", "--stall 11", "--wire-dtype bf16", "--trace out.json",
            "--speculative-decoding 3",
            "--api-keys none --tls-certificate c.pem --tls-key c.key --tls-client-ca ca.pem --admin a:9090",
        ] {
            #expect(has(plan.coordinator, words), "\(words)")
        }
        for words in ["--cpu-level avx2", "--advertise b", "--insecure", "--log-level error"] {
            #expect(has(plan.workers[0], words), "\(words)")
        }
        #expect(plan.drainTime == .seconds(6))
    }

    @Test func whatIsNotSaidIsNoFlag() throws {
        let plan = LaunchPlan(topology: try topology("model: m\npipelines: [{stages: 1}]"), executable: "x")
        for flag in [
            "--pipeline", "--stall", "--wire-dtype", "--drain-time", "--insecure", "--log-level",
            "--max-requests", "--chunk",
        ] {
            #expect(!(plan.coordinator.arguments + plan.workers[0].arguments).contains(flag))
        }
        #expect(plan.drainTime == .seconds(10))
    }

    @Test func aDrainTimeGivenAtLaunchWins() throws {
        let topology = try topology("model: m\ncoordinator: {drain_time: 60}\npipelines: [{stages: 1}]")
        let plan = LaunchPlan(topology: topology, executable: "x", drainTime: 0)
        #expect(plan.drainTime == .zero)
        #expect(plan.coordinator.arguments.contains("0") && !plan.coordinator.arguments.contains("60"))
    }

    @Test func anHTTPAddressGivenAtLaunchWins() throws {
        let topology = try topology("model: m\npipelines: [{stages: 1}]")
        let plan = LaunchPlan(topology: topology, executable: "x", http: "127.0.0.1:0")
        let arguments = plan.coordinator.arguments
        let index = try #require(arguments.firstIndex(of: "--http"))
        #expect(arguments[index + 1] == "127.0.0.1:0")
    }

    @Test func commandsCanBePastedIntoAShell() throws {
        let plan = LaunchPlan(
            topology: try topology("name: it's\nmodel: my model\npipelines: [{stages: 1}]\nenvironment: {A: b c}"),
            executable: "/bin/winnow")
        let commands = plan.commands(coordinatorAt: "tcp://127.0.0.1:5700")
        #expect(commands.count == 2)
        #expect(commands[0].hasPrefix("A='b c' /bin/winnow coordinator --model 'my model' --name 'it'\\''s' --http"))
        #expect(commands[1].contains("worker --coordinator tcp://127.0.0.1:5700 --model 'my model'"))
        #expect(!commands.joined().contains("--exit-with-stdin"))
    }
}
