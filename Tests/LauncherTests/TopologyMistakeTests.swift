// What each mistake in a topology file is answered with.

import Launcher
import Settings
import Testing

@Suite("Mistakes in a topology file")
struct TopologyMistakeTests {
    struct Mistake: Sendable, CustomTestStringConvertible {
        var yaml: String
        var line: Int?
        var key: String
        var says: String
        var fix = ""
        var testDescription: String { says }
    }

    private static let tail = "pipelines:\n  - stages: 1\n"

    @Test(arguments: [
        Mistake(yaml: "", line: nil, key: "", says: "empty"),
        Mistake(yaml: "- a\n", line: 1, key: "", says: "expected a mapping, found a list"),
        Mistake(yaml: "model: [\n", line: 2, key: "", says: "not YAML"),
        Mistake(
            yaml: "model: m\r\n# \u{1b}[2J\n" + tail, line: 2, key: "",
            says: "not YAML: control characters are not allowed (U+1B)"),
        Mistake(yaml: "model: a\nmodel: b\n" + tail, line: 1, key: "", says: "`model` appears twice"),
        Mistake(yaml: "pipelines: [{stages: 1}]", line: 1, key: "", says: "`model` is missing"),
        Mistake(yaml: "model: m", line: 1, key: "", says: "`pipelines` is missing"),
        Mistake(yaml: "model: m\nmodell: n\n" + tail, line: 2, key: "modell", says: "unknown key"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  port: 1\n" + tail, line: 3, key: "coordinator.port", says: "unknown key"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  http: 8080\n" + tail, line: 3, key: "coordinator.http", says: "HOST:PORT"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  http: a:99999\n" + tail, line: 3, key: "coordinator.http",
            says: "HOST:PORT"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  listen: udp://x:1\n" + tail, line: 3, key: "coordinator.listen",
            says: "endpoint"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  threads: 0\n" + tail, line: 3, key: "coordinator.threads",
            says: "from 1 to 1024, found `0`"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  cpus: 3-1\n" + tail, line: 3, key: "coordinator.cpus", says: "list of CPUs"
        ),
        Mistake(
            yaml: "model: m\ncoordinator:\n  host: db7\n" + tail, line: 3, key: "coordinator.host",
            says: "no host `db7`"),
        Mistake(
            yaml: "model: m\nhosts: {a: {address: 10.0.0.7}}\npipelines:\n  - stages:\n      - host: a\n", line: 2,
            key: "hosts", says: "`localhost` can't be reached from the other hosts"),
        Mistake(
            yaml: "model: m\nhosts: {a: {address: 0.0.0.0}}\n" + tail, line: 2, key: "hosts.a.address",
            says: "other hosts can connect to"),
        Mistake(
            yaml: "model: m\nhosts: {a: {address: b, ssh: -oProxyCommand=x}}\n" + tail, line: 2, key: "hosts.a.ssh",
            says: "not what ssh connects to"),
        Mistake(
            yaml: "model: m\nhosts: {a: {address: b, folder: x}}\n" + tail, line: 2, key: "hosts.a.folder",
            says: "absolute path"),
        Mistake(
            yaml: "model: m\nhosts: {a: {user: me}}\n" + tail, line: 2, key: "hosts.a.user", says: "unknown key"),
        Mistake(
            yaml: "model: m\npipelines:\n  - stages: 1\n  - {stages: 1, name: main}\n", line: 4,
            key: "pipelines[1].name", says: "another pipeline is called `main`"),
        Mistake(
            yaml: "model: m\npipelines:\n  - {stages: 1, name: pipeline-1}\n  - stages: 1\n", line: 4,
            key: "pipelines[1]", says: "another pipeline is called `pipeline-1`"),
        Mistake(
            yaml: "model: m\npipelines:\n  - {stages: 1, name: a=2}\n", line: 3, key: "pipelines[0].name",
            says: "must be 1 to 64 letters"),
        Mistake(yaml: "model: m\nspares: 257\n" + tail, line: 2, key: "spares", says: "from 0 to 256"),
        Mistake(
            yaml: "model: m\nspares: {count: 2, layers: 0-1}\n" + tail, line: 2, key: "spares.layers",
            says: "can only be auto"),
        Mistake(
            yaml: "model: m\npipelines: [{stages: 2, layers: 0-1}]\n", line: 2, key: "pipelines[0].layers",
            says: "can only be auto"),
        Mistake(
            yaml: "model: m\nspares: {count: 2, listen: \"tcp://127.0.0.1:5\"}\n" + tail, line: 2,
            key: "spares.listen", says: "2 workers can't listen at one place"),
        Mistake(
            yaml: "model: m\nspeculators: 1\n" + tail, line: 2, key: "speculators", says: "no model for them"),
        Mistake(
            yaml: "model: m\nspeculator: s\nspeculators: [{kv_tokens: 1}]\n" + tail, line: 3,
            key: "speculators[0].kv_tokens", says: "unknown key"),
        Mistake(
            yaml: "model: m\nspeculator: s\ncoordinator: {threads: 2}\nspeculators: 1\n" + tail, line: 3,
            key: "coordinator.threads", says: "computes nothing"),
        Mistake(
            yaml: "model: m\nrestart: sometimes\n" + tail, line: 2, key: "restart",
            says: "no restart policy `sometimes`"),
        Mistake(
            yaml: "model: m\nrestart: {backoff: 0}\n" + tail, line: 2, key: "restart.backoff",
            says: "seconds from 0.01 to 3600.0, found `0`"),
        Mistake(
            yaml: "model: m\nrestart: {backoff: 9, max_backoff: 8}\n" + tail, line: 2, key: "restart.max_backoff",
            says: "less than `backoff`"),
        Mistake(
            yaml: "model: m\nrestart: {give_up: 0}\n" + tail, line: 2, key: "restart.give_up", says: "from 1 to 1000"),
        Mistake(
            yaml: "model: m\ncoordinator: {stall: 0}\n" + tail, line: 2, key: "coordinator.stall",
            says: "from 1 to 86400"),
        Mistake(
            yaml: "model: m\ncoordinator: {wire_dtype: int8}\n" + tail, line: 2, key: "coordinator.wire_dtype",
            says: "no number format between stages `int8`"),
        Mistake(
            yaml: "model: m\ncoordinator: {speculative_decoding: 17}\n" + tail, line: 2,
            key: "coordinator.speculative_decoding", says: "from 0 to 16"),
        Mistake(
            yaml: "model: m\ncoordinator: {speculative_decoding: 4}\n" + tail, line: 2,
            key: "coordinator.speculative_decoding", says: "without a speculator"),
        Mistake(
            yaml: "model: m\nspeculator: s\nspeculators: 1\ncoordinator: {speculative_decoding: 4}\n" + tail, line: 4,
            key: "coordinator.speculative_decoding", says: "only score prompts"),
        Mistake(
            yaml: "model: m\npipelines:\n  - stages: 0\n", line: 3, key: "pipelines[0].stages", says: "from 1 to 256"),
        Mistake(yaml: "model: m\npipelines:\n  - stages: []\n", line: 3, key: "pipelines[0].stages", says: "0 entries"),
        Mistake(
            yaml: "model: m\npipelines:\n  - threads: 1\n", line: 3, key: "pipelines[0]", says: "`stages` is missing"),
        Mistake(
            yaml: "model: m\npipelines:\n  - stages:\n      - layers: 4-2\n", line: 4,
            key: "pipelines[0].stages[0].layers", says: "FIRST-LAST"),
        Mistake(
            yaml: "model: m\npipelines:\n  - stages:\n      - layers: 0-1\n      - threads: 1\n", line: 4,
            key: "pipelines[0].stages", says: "1 of 2 stages name their layers"),
        Mistake(
            yaml: "model: m\npipelines:\n  - stages:\n      - layers: 0-1\n      - layers: 3-4\n", line: 5,
            key: "pipelines[0].stages[1]", says: "has layers 3-4, but the stages before hold 0-1"),
        Mistake(
            yaml: "model: m\nspeculation: {keep_rate: 0.1}\n" + tail, line: 2, key: "speculation",
            says: "without a speculator"),
        Mistake(
            yaml: "model: m\nspeculator: s\nspeculation: {keep_rate: nan}\n" + tail, line: 3,
            key: "speculation.keep_rate", says: "over 0 and at most 1"),
        Mistake(
            yaml: "model: m\nspeculator: s\nspeculation: {keep_rate: 1.5}\n" + tail, line: 3,
            key: "speculation.keep_rate", says: "over 0 and at most 1"),
        Mistake(
            yaml: "model: m\nspeculator: s\nspeculation: {selection: best}\n" + tail, line: 3,
            key: "speculation.selection", says: "no selection `best`"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  cors_origin: [\"*\", \"--stages\"]\n" + tail, line: 3,
            key: "coordinator.cors_origin[1]", says: "must be the origin of web pages"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  max_body_bytes: 1\n" + tail, line: 3, key: "coordinator.max_body_bytes",
            says: "from 1024 to 1073741824"),
        Mistake(yaml: "model: m\ncpu_level: avx1\n" + tail, line: 2, key: "cpu_level", says: "no CPU level `avx1`"),
        Mistake(yaml: "model: m\ndtype: fp8\n" + tail, line: 2, key: "dtype", says: "no number format `fp8`"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  max_requests: 0\n" + tail, line: 3, key: "coordinator.max_requests",
            says: "from 1 to 1000000"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  max_queued_tokens: -1\n" + tail, line: 3,
            key: "coordinator.max_queued_tokens",
            says: "from 1 to 2147483647"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  request_timeout: 86401\n" + tail, line: 3,
            key: "coordinator.request_timeout",
            says: "from 1 to 86400, found `86401`"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  drain_time: soon\n" + tail, line: 3, key: "coordinator.drain_time",
            says: "from 0 to 3600, found `soon`"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  log_level: loud\n" + tail, line: 3, key: "coordinator.log_level",
            says: "no log level `loud`"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  advertise: 0.0.0.0\n" + tail, line: 3, key: "coordinator.advertise",
            says: "other hosts can connect to"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  advertise: a b\n" + tail, line: 3, key: "coordinator.advertise",
            says: "other hosts can connect to"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  tls_key: k\n" + tail, line: 3, key: "coordinator.tls_key",
            says: "needs `tls_certificate`"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  insecure: yes\n" + tail, line: 3,
            key: "coordinator.insecure",
            says: "must be true or false"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  micro_batch_tokens: 65537\n" + tail, line: 3,
            key: "coordinator.micro_batch_tokens",
            says: "from 1 to 65536"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  listen: tcp://127.1:5\n" + tail, line: 3, key: "coordinator.listen",
            says: "endpoint"),
        Mistake(
            yaml: "model: m\ncoordinator:\n  listen: \"tcp://::1:5\"\n" + tail, line: 3, key: "coordinator.listen",
            says: "brackets"),
        Mistake(
            yaml: "model: m\nspeculator: s\nspeculation:\n  chunk: 0\n" + tail, line: 4, key: "speculation.chunk",
            says: "from 1 to 65536"),
        Mistake(
            yaml: "model: m\nspeculator: s\nspeculation:\n  stride: 33\n" + tail, line: 4, key: "speculation.stride",
            says: "from 1 to 32, the chunk, found `33`"),
        Mistake(
            yaml: "model: m\nspeculator: s\nspeculation:\n  pool: 4\n" + tail, line: 4, key: "speculation.pool",
            says: "must be odd"),
        Mistake(
            yaml: "model: m\nspeculator: s\nspeculation:\n  pool: 0\n" + tail, line: 4, key: "speculation.pool",
            says: "from 1 to 65535"),
        Mistake(
            yaml: "model: m\npipelines:\n  - stages: 1\n    log_level: loud\n", line: 4, key: "pipelines[0].log_level",
            says: "no log level `loud`"),
        Mistake(
            yaml: "model: m\ncoordinator: {request_timeout: 10m}\n" + tail, line: 2, key: "coordinator.request_timeout",
            says: "a whole number of seconds from 1 to 86400, found `10m`", fix: "`request_timeout: 600`"),
        Mistake(
            yaml: "model: m\ncoordinator: {max_body_bytes: 16 MiB}\n" + tail, line: 2,
            key: "coordinator.max_body_bytes", says: "number of bytes", fix: "`max_body_bytes: 16777216`"),
        Mistake(
            yaml: "model: m\ncoordinator: {kv_token: 9}\n" + tail, line: 2, key: "coordinator.kv_token",
            says: "unknown key", fix: "Did you mean `kv_tokens`?"),
        Mistake(
            yaml: "model: m\nspeculator: s\ncoordinator: {keep_rate: 0.1}\n" + tail, line: 3,
            key: "coordinator.keep_rate", says: "unknown key", fix: "It belongs in `speculation`."),
        Mistake(
            yaml: "model: m\ndtype: int4\n" + tail, line: 2, key: "dtype", says: "no number format `int4`",
            fix: "`dtype: int8`"),
        Mistake(yaml: "model: \"a\\nb\"\n" + tail, line: 1, key: "model", says: "control character"),
    ])
    func aMistakeNamesItsPlace(_ mistake: Mistake) throws {
        let error = try #require(refusal(of: mistake.yaml))
        #expect(error.problem.contains(mistake.says), "\(error)")
        #expect(error.line == mistake.line, "\(error)")
        #expect(error.key == mistake.key, "\(error)")
        #expect(!error.fix.isEmpty && (mistake.fix.isEmpty || error.fix.contains(mistake.fix)), "\(error)")
    }

    /// Whatever a file says, words about it are few, and nothing in them acts on a terminal.
    @Test(arguments: [
        "model: m\u{1b}[2J" + String(repeating: "x", count: 20_000),
        String(repeating: "k\u{202e}", count: 20_000) + ": 1",
        [1, 2].map { _ in String(repeating: "k\u{85}", count: 300) + ": 1\n" }.joined(),
        "model: {" + String(repeating: "\u{301}", count: 20_000),
    ])
    func wordsAboutAFileAreFew(yaml: String) {
        let (_, faults) = Topology.read(yaml: yaml, path: "/d/t.yaml") { _ in true }
        #expect(!faults.isEmpty)
        for fault in faults {
            #expect("\(fault)".utf8.count < 10_000)
            #expect(!"\(fault)".unicodeScalars.contains { $0.value < 32 || $0 == "\u{85}" || $0 == "\u{202e}" })
        }
    }

    @Test func allFaultsAreFoundAtOnce() throws {
        let (topology, faults) = Topology.read(
            yaml: """
                modell: m
                coordinator: {threads: 0, http: 8080}
                pipelines:
                  - {stages: [{layers: 0-1, thread: 2}, {layers: 3-4}]}
                  - {stages: none}
                spares: -1
                restart: {backoff: soon}
                speculation: {keep_rate: 2}
                """, path: "t.yaml"
        ) { _ in true }
        #expect(topology != nil)
        #expect(
            faults.map { "\($0.line ?? 0) \($0.key)" } == [
                "1 modell", "1 ", "2 coordinator.http", "2 coordinator.threads", "4 pipelines[0].stages[0].thread",
                "4 pipelines[0].stages[1]", "5 pipelines[1].stages", "6 spares", "7 restart.backoff",
                "8 speculation", "8 speculation.keep_rate",
            ])
    }
}
