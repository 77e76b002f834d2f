// The table of settings, and values by it.

import Settings
import Testing

@Suite("Table of settings")
struct SettingTableTests {
    @Test(arguments: Setting.Process.allCases) func aProcessHasEachSettingOnce(process: Setting.Process) {
        let names = Setting.all(of: process).map(\.name)
        #expect(names.count > 5 && Set(names).count == names.count)
    }

    @Test func everyEntryIsWhole() {
        for setting in Setting.table {
            #expect(!setting.doc.isEmpty && setting.doc.hasSuffix("."), "\(setting.name)")
            #expect(setting.name.allSatisfy { $0.isLowercase || $0 == "_" })
            #expect(!setting.processes.isEmpty && !setting.valueName.isEmpty)
            if let fallback = setting.fallback { #expect(setting.problem(with: fallback) == nil, "\(setting.name)") }
            #expect(setting.problem(with: "") != nil && setting.problem(with: "a\u{7}") != nil, "\(setting.name)")
        }
    }

    @Test(arguments: [
        ("request_timeout", "10m", "600"), ("request_timeout", "90 s", "90"), ("request_timeout", "2h", "7200"),
        ("drain_time", "1500ms", "2"), ("max_body_bytes", "16MiB", "16777216"), ("max_body_bytes", "1.5 MB", "1500000"),
        ("kv_tokens", "64k", "64000"), ("kv_tokens", "-1", "1"), ("stall", "99999999", "86400"), ("stall", "soon", "1"),
        ("pool", "4", "13"), ("selection", "gird", "grid"), ("http", "8080", "127.0.0.1:8080"),
        ("keep_rate", "20%", "0.2"), ("insecure", "yes", "false"), ("log_level", "warn", "warning"),
    ])
    func aWrongValueComesWithARightOne(name: String, wrong: String, right: String) throws {
        let setting = try #require(Setting.named(name, of: .coordinator))
        let problem = try #require(setting.problem(with: wrong))
        #expect(problem.example == right && problem.problem.contains(wrong.trimmingPrefix("-")))
        #expect(setting.problem(with: problem.example) == nil)
        #expect(problem.fix(key: name).contains("`\(name): \(right)`"))
    }

    @Test func flagsGoBeforeTheRest() {
        var document = SettingValues(.worker)
        document.set("threads", "4")
        document.set("name", "a")
        var flags = SettingValues(.worker)
        flags.set("threads", "2")
        let values = flags.over(document)
        #expect(values.integer("threads") == 2 && values.text("name") == "a")
        #expect(values.text("log_level") == "info" && !values.isSaid("log_level"))
        #expect(values.words == ["--name", "a", "--threads", "2"])
        #expect(values.document == "name: \"a\"\nthreads: 2\n")
    }

    @Test func whatDoesNotGoTogetherIsSaidAtOnce() {
        var values = SettingValues(.coordinator)
        values.set("stages", "2")
        values.set("pipeline", to: ["a=1", "a=2"])
        values.set("speculator_workers", "true")
        values.set("tls_client_ca", "ca.pem")
        values.set("chunk", "8")
        values.set("stride", "16")
        #expect(
            values.conflicts.map(\.name)
                == ["model", "stages", "pipeline", "speculator_workers", "tls_client_ca", "stride"])
        var speculator = SettingValues(.worker)
        for (name, value) in [
            ("role", "speculator"), ("model", "m"), ("coordinator", "tcp://a:1"), ("layers", "0-1"), ("kv_tokens", "1"),
        ] { speculator.set(name, value) }
        #expect(speculator.conflicts.map(\.name) == ["layers", "kv_tokens"])
        #expect(speculator.conflicts.allSatisfy { !$0.fix.isEmpty })
    }

    @Test func theNearestWordIsFound() {
        #expect(NearestWord.to("thread", among: ["threads", "trace"]) == "threads")
        #expect(NearestWord.to("lok_ahaed", among: ["look_ahead", "layers"]) == "look_ahead")
        #expect(NearestWord.to("zebra", among: ["threads", "trace"]) == nil)
    }
}
