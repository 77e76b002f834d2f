// The files another engine runs a topology from: the same as those beside the tests, and what they must never lack.

import Foundation
import Launcher
import Testing
import Wire

@Suite("Rendering")
struct RenderingTests {
    /// Pipelines whose stages differ, words that engines would take for something else, hosts with folders.
    private static let whole = """
        name: Needle "8B" $HOME
        model: m o/main
        speculator: small
        hosts:
          a: {address: 10.0.0.1}
          b: {address: b.example, folder: /srv/50% off}
        coordinator: {host: a, http: "0.0.0.0:9000", listen: "tcp://*:*", drain_time: 20}
        pipelines:
          - name: Fast_1
            stages: [{host: a, layers: 0-1, threads: 2}, {host: b, layers: 2-3, cpus: 0-3, threads: 4}]
          - {name: deep, stages: 2, host: b}
        spares: {host: b}
        speculators: {host: a, threads: 3}
        restart: {policy: on-failure, backoff: 1.5, max_backoff: 20, give_up: 4, window: 60}
        environment: {TOKEN: "a 'b' $(c) %d", WINNOW_CPU_LEVEL: avx2}
        """

    /// `WINNOW_WRITE_FIXTURES=1` writes them anew; the difference is then a matter of review.
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appending(path: "Fixtures/rendered")

    private func files(_ yaml: String, _ target: RenderTarget, path: String) throws -> [RenderedFile] {
        let topology = try Topology(yaml: yaml, path: path) { _ in true }
        return try Rendering.files(of: topology, for: target)
    }

    private func text(_ files: [RenderedFile], _ path: String) throws -> String {
        try #require(files.first { $0.path == path }?.text, "\(files.map(\.path))")
    }

    @Test(arguments: RenderTarget.allCases) func theFilesAreThoseOfTheReview(target: RenderTarget) throws {
        let files = try files(Self.whole, target, path: "/srv/cluster/t.yaml")
        let folder = Self.folder.appending(path: target.rawValue)
        if ProcessInfo.processInfo.environment["WINNOW_WRITE_FIXTURES"] != nil {
            try? FileManager.default.removeItem(at: folder)
            for file in files {
                let url = folder.appending(path: file.path)
                try FileManager.default.createDirectory(
                    at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Data(file.text.utf8).write(to: url)
            }
        }
        for file in files {
            let kept = try String(contentsOf: folder.appending(path: file.path), encoding: .utf8)
            #expect(file.text == kept, "\(file.path)")
        }
        let kept = try #require(FileManager.default.enumerator(atPath: folder.path)).compactMap { $0 as? String }
            .filter { $0.contains(".") }
        #expect(Set(kept) == Set(files.map(\.path)))
    }

    /// Nobody could tell the others a port that the system chose.
    @Test(arguments: RenderTarget.allCases) func noPortIsLeftToTheSystem(target: RenderTarget) throws {
        let local = """
            model: m
            coordinator: {listen: "tcp://127.0.0.1:*"}
            pipelines: [{stages: 2}]
            """
        for (yaml, path) in [(Self.whole, "/srv/t.yaml"), (local, "/srv/t.yaml")] {
            for file in try files(yaml, target, path: path) {
                #expect(file.text.firstMatch(of: /tcp:\/\/[^ "]*:(\*|0)[ "]/) == nil, "\(file.path)")
                #expect(!file.text.contains("--exit-with-stdin"))
            }
        }
    }

    @Test func aUnitReadsEveryWordAsItIs() throws {
        let files = try files(Self.whole, .systemd, path: "/srv/cluster/t.yaml")
        let unit = try text(files, "b/winnow-needle-8b-home-worker-1.service")
        #expect(unit.contains(#""/srv/50%% off/m o/main""#))
        #expect(unit.contains(#"Environment="TOKEN=a 'b' $(c) %%d""#))
        #expect(unit.contains("Restart=on-failure\nRestartSec=1500ms"))
        #expect(unit.contains("Type=notify\n") && unit.contains("\nWatchdogSec=60\n"))
        let coordinator = try text(files, "a/winnow-needle-8b-home-coordinator.service")
        #expect(coordinator.contains(#"--name "Needle \"8B\" $$HOME""#))
        #expect(coordinator.contains("--listen tcp://10.0.0.1:5700") && coordinator.contains("TimeoutStopSec=30\n"))
        #expect(unit.contains("--coordinator tcp://10.0.0.1:5700 "))
        #expect(try text(files, "b/winnow-needle-8b-home.target").contains("worker-2.service"))
    }

    @Test func aUnitMayReadAModelInAHome() throws {
        let unit = try text(
            try files("model: m\npipelines: [{stages: 1}]", .systemd, path: "/home/me/t.yaml"),
            "localhost/winnow-m-worker-0.service")
        #expect(unit.contains("ProtectHome=tmpfs") && unit.contains("BindReadOnlyPaths=/home/me/m\n"))
    }

    @Test func aRelativePathCannotBeAUnits() {
        let error = #expect(throws: RenderError.self) {
            try files("model: m\npipelines: [{stages: 1}]", .systemd, path: "t.yaml")
        }
        #expect(error?.description.contains("`m` is relative") == true)
    }

    @Test func stagesThatDifferAreToldApartByTheirOrdinal() throws {
        let files = try files(Self.whole, .kubernetes, path: "t.yaml")
        let fast = try text(files, "base/pipeline-fast-1.yaml")
        #expect(fast.contains("case ${POD_NAME##*-} in 0) set -- \\\"$@\\\" ") && fast.contains("--layers 2-3"))
        #expect(fast.contains("replicas: 2") && fast.contains(#"limits: {cpu: "4""#))
        // CPUs are the kubelet's to give.
        #expect(!fast.contains("--cpus"))
        let deep = try text(files, "base/pipeline-deep.yaml")
        #expect(deep.contains("command: [winnow]") && deep.contains("\"tcp://needle-8b-home-coordinator:5700\""))
        #expect(deep.contains(#""/models/m o/main""#))
        // Kubernetes would take `$(c)` for a variable of its own.
        #expect(deep.contains("$$(c)"))
    }

    /// Probes and metrics go where they are answered.
    @Test func aPodIsAskedWhereItAnswersWithoutAKey() throws {
        func render(_ coordinator: String) throws -> (pod: String, monitor: String, policy: String) {
            let files = try files(
                "model: m\ncoordinator: {\(coordinator)}\npipelines: [{stages: 1}]", .kubernetes, path: "/t/t.yaml")
            return (
                try text(files, "base/coordinator.yaml"), try text(files, "monitoring/pod-monitor.yaml"),
                try text(files, "base/network-policy.yaml")
            )
        }
        let tls = "tls_certificate: /etc/http/tls.crt, tls_key: /etc/http/tls.key"
        let plain = try render("api_keys: none")
        #expect(plain.pod.contains("httpGet: {path: /health/ready, port: http}") && !plain.pod.contains("name: admin"))
        #expect(plain.monitor.contains("{port: http, path: /metrics, interval: 15s}"))
        let secure = try render(tls)
        #expect(secure.pod.contains("httpGet: {path: /health/live, port: http, scheme: HTTPS}"))
        #expect(secure.monitor.contains("interval: 15s, scheme: https}"))
        let apart = try render(tls + ", tls_client_ca: /etc/http/ca.crt, admin: \"127.0.0.1:9100\"")
        #expect(apart.pod.contains("httpGet: {path: /health/live, port: admin}"))
        #expect(apart.pod.contains("            - {name: admin, containerPort: 9100}\n"))
        #expect(apart.pod.contains("\"--admin\"") && apart.pod.contains("\"*:9100\""))
        #expect(apart.monitor.contains("{port: admin, path: /metrics, interval: 15s}"))
        #expect(apart.policy.contains("monitoring}}}], ports: [{port: 9100, protocol: TCP}]}\n  egress:"))
        #expect(!plain.policy.contains("namespaceSelector"))
        let error = #expect(throws: RenderError.self) { try render(tls + ", tls_client_ca: /ca") }
        #expect(error?.description.contains("add `coordinator.admin`") == true, "\(String(describing: error))")
    }

    /// What lies beside the topology file becomes a Secret; an absolute path is a pod's own.
    @Test func filesOfHTTPGoWithTheCoordinator() throws {
        func render(_ coordinator: String, keys: String = "", stages: String = "1") throws -> (
            base: String, pod: String, workers: String, copies: [RenderedCopy]
        ) {
            let yaml = "model: m\n\(keys)coordinator: {\(coordinator)}\npipelines: [{name: p, stages: \(stages)}]"
            let files = try files(yaml, .kubernetes, path: "/t/t.yaml")
            let topology = try Topology(yaml: yaml, path: "/t/t.yaml") { _ in true }
            return (
                try text(files, "base/kustomization.yaml"), try text(files, "base/coordinator.yaml"),
                try text(files, "base/pipeline-p.yaml"), try Rendering.copies(of: topology, for: .kubernetes)
            )
        }
        let all =
            "api_keys: http/keys, tls_certificate: /t/a.pem, tls_key: a.key, tls_client_ca: ca.pem, admin: \"*:9\""
        let whole = try render(all)
        #expect(
            whole.copies == [
                RenderedCopy(source: "/t/http/keys", path: "base/http/api-keys", isSecret: true),
                RenderedCopy(source: "/t/a.pem", path: "base/http/tls.crt", isSecret: false),
                RenderedCopy(source: "/t/a.key", path: "base/http/tls.key", isSecret: true),
                RenderedCopy(source: "/t/ca.pem", path: "base/http/ca.crt", isSecret: false),
            ])
        #expect(
            whole.base.contains(
                "-coordinator-http\n    files: [http/api-keys, http/tls.crt, http/tls.key, http/ca.crt]\n"))
        #expect(whole.base.components(separatedBy: "secretGenerator:").count == 2)
        #expect(whole.pod.contains("{name: http, mountPath: /etc/winnow/http, readOnly: true}"))
        #expect(whole.pod.contains("-coordinator-http, defaultMode: 0400}"))
        for words in [
            #"- "--api-keys"\#n            - "/etc/winnow/http/api-keys""#,
            #"- "--tls-certificate"\#n            - "/etc/winnow/http/tls.crt""#,
            #"- "--tls-key"\#n            - "/etc/winnow/http/tls.key""#,
            #"- "--tls-client-ca"\#n            - "/etc/winnow/http/ca.crt""#,
        ] { #expect(whole.pod.contains(words), "\(whole.pod)") }
        #expect(!whole.workers.contains("http"))
        // Without keys of links there is that Secret alone.
        let open = try render("api_keys: k, insecure: true", keys: "keys: none\n", stages: "[{insecure: true}]")
        #expect(open.base.contains("secretGenerator:\n  - name:") && !open.base.contains("keys/"))
        #expect(open.pod.contains("mountPath: /etc/winnow/http,") && !open.pod.contains("mountPath: /etc/winnow/keys"))
        for coordinator in ["api_keys: none", "api_keys: /etc/http/keys"] {
            let none = try render(coordinator)
            #expect(none.copies.isEmpty && !none.base.contains("http/") && !none.pod.contains("/etc/winnow/http"))
        }
    }

    /// A unit has nobody's rights: systemd reads them for it.
    @Test func filesOfHTTPAreCredentialsOfTheCoordinator() throws {
        let yaml = """
            model: /m
            keys: none
            coordinator: {api_keys: keys, tls_certificate: "/etc/a b%.pem", tls_key: /etc/a.key}
            pipelines: [{stages: 1}]
            """
        let units = try files(yaml, .systemd, path: "/srv/t.yaml")
        let unit = try text(units, "localhost/winnow-m-coordinator.service")
        #expect(unit.contains("\nLoadCredential=api-keys:/srv/keys\nLoadCredential=tls.crt:/etc/a b%%.pem\n"))
        #expect(unit.contains("\nLoadCredential=tls.key:/etc/a.key\n"))
        for words in [
            "--api-keys %d/api-keys", "--tls-certificate %d/tls.crt", "--tls-key %d/tls.key",
        ] { #expect(unit.contains(words), "\(unit)") }
        let others = units.filter { !$0.path.contains("coordinator") }
        #expect(!others.isEmpty && others.allSatisfy { !$0.text.contains("LoadCredential") })
        let error = #expect(throws: RenderError.self) { try files(yaml, .systemd, path: "t.yaml") }
        #expect(error?.description.contains("`keys` is relative") == true)
    }

    @Test func linksInPlainTextOverANetworkMustBeAllowed() throws {
        let yaml = """
            model: m
            keys: none
            hosts: {a: {address: a}, b: {address: b}}
            coordinator: {host: a, insecure: true}
            pipelines: [{stages: 1, host: b}]
            """
        for (target, path) in [(RenderTarget.slurm, "/t.yaml"), (.kubernetes, "t.yaml")] {
            let error = #expect(throws: RenderError.self) { try files(yaml, target, path: path) }
            #expect(error?.description.contains("insecure: true") == true)
            let allowed = yaml.replacing("host: b}", with: "host: b, insecure: true}")
            for file in try files(allowed, target, path: path) {
                #expect(!file.text.contains("key") && !file.text.contains("secret"), "\(file.path)")
            }
            let topology = try Topology(yaml: allowed, path: path) { _ in true }
            #expect(try Rendering.keys(of: topology, for: target) == nil)
        }
    }

    /// Each process names its key where the engine will put it, and each host or pod gets no other's.
    @Test func everyProcessHasItsKeyAlone() throws {
        let topology = try Topology(yaml: Self.whole, path: "/srv/cluster/t.yaml") { _ in true }
        let units = try files(Self.whole, .systemd, path: "/srv/cluster/t.yaml")
        for unit in units where unit.path.hasSuffix(".service") {
            let isCoordinator = unit.path.contains("coordinator")
            #expect(unit.text.contains(isCoordinator ? " --keys %d " : " --key %d/key"), "\(unit.path)")
            #expect(unit.text.matches(of: /LoadCredential=/).count == 1)
        }
        let worker = try text(units, "b/winnow-needle-8b-home-worker-1.service")
        #expect(worker.contains("\nLoadCredential=key:/etc/winnow-needle-8b-home/worker-1.key\n"))
        let coordinator = try text(units, "a/winnow-needle-8b-home-coordinator.service")
        #expect(coordinator.contains(" --allow-list /etc/winnow-needle-8b-home/allowed\n"))
        let onHosts = try #require(try Rendering.keys(of: topology, for: .systemd))
        #expect(onHosts.folder == "keys" && onHosts.isRelative)
        #expect(
            onHosts.copies.filter { $0.path.hasPrefix("a/") }.map(\.name)
                == ["coordinator.key", "allowed", "worker-0.key", "speculator-0.key"])
        #expect(onHosts.workers.filter { $0.role == .speculator }.map(\.name) == ["speculator-0"])
        #expect(onHosts.copies.filter { !$0.isSecret }.map(\.name) == ["allowed"])

        let manifests = try files(Self.whole, .kubernetes, path: "t.yaml")
        let fast = try text(manifests, "base/pipeline-fast-1.yaml")
        #expect(fast.contains("secret: {secretName: needle-8b-home-pipeline-fast-1-keys, defaultMode: 0400}"))
        #expect(fast.contains("mountPath: /etc/winnow/key, subPathExpr: $(POD_NAME).key, readOnly: true}"))
        #expect(fast.matches(of: /--key \/etc\/winnow\/key/).count == 2)
        let made = try text(manifests, "base/kustomization.yaml")
        #expect(made.contains("files: [keys/coordinator.key, keys/allowed]"))
        #expect(
            made.contains(
                "files: [keys/needle-8b-home-pipeline-fast-1-0.key, keys/needle-8b-home-pipeline-fast-1-1.key]"))
        let inPods = try #require(try Rendering.keys(of: topology, for: .kubernetes))
        #expect(inPods.folder == "base/keys" && inPods.copies.isEmpty && inPods.workers.count == 6)

        let script = try text(try files(Self.whole, .slurm, path: "/srv/t.yaml"), "winnow-needle-8b-home.sbatch")
        #expect(script.contains(#"--keys "$keys""#) && script.contains(#" "$keys/worker-1.key""#))
        #expect(script.contains("worker-0 worker-1 worker-2 worker-3 speculator-0=speculator spare-0"))
        #expect(try Rendering.keys(of: topology, for: .slurm) == nil)
    }

    /// Keys that the file says stay where it says.
    @Test func keysOfAFolderAreCopied() throws {
        let yaml = "model: m\nkeys: my keys\npipelines: [{stages: 1}]"
        let topology = try Topology(yaml: yaml, path: "/srv/t.yaml") { _ in true }
        let keys = try #require(try Rendering.keys(of: topology, for: .systemd))
        #expect(keys.folder == "/srv/my keys" && !keys.isRelative)
        #expect(keys.copies.map(\.path).contains("localhost/winnow-m/worker-0.key"))
        let script = try text(try files(yaml, .slurm, path: "/srv/t.yaml"), "winnow-m.sbatch")
        #expect(script.contains("keys='/srv/my keys'\n") && !script.contains("rm -rf"))
        let relative = try Topology(yaml: yaml, path: "t.yaml") { _ in true }
        #expect(try Rendering.keys(of: relative, for: .kubernetes)?.copies.first?.path == "base/keys/coordinator.key")
    }

    @Test func whatKubernetesCannotDoIsNamed() {
        for (yaml, says) in [
            ("model: /elsewhere/m\n", "lies outside"), ("model: ../m\n", "lies outside"),
            ("model: m\ncoordinator: {trace: t.json}\n", "no place for `trace`"),
        ] {
            let error = #expect(throws: RenderError.self) {
                try files(yaml + "pipelines: [{stages: 1}]", .kubernetes, path: "t.yaml")
            }
            #expect(error?.description.contains(says) == true, "\(yaml)")
        }
    }

    @Test func aJobsAddressesComeFromItsAllocation() throws {
        let script = try text(
            try files(Self.whole, .slurm, path: "/srv/cluster/t.yaml"), "winnow-needle-8b-home.sbatch")
        #expect(!script.contains("10.0.0.1") && !script.contains("b.example") && !script.contains("winnow-node-"))
        #expect(script.contains(#"--coordinator "tcp://$(address 0):5700""#))
        #expect(script.contains(#"--listen "tcp://$(address 1):5711""#))
        #expect(script.contains("#SBATCH --nodes=2\n#SBATCH --ntasks-per-node=4\n#SBATCH --cpus-per-task=4\n"))
        #expect(script.contains(#"export TOKEN='a '\''b'\'' $(c) %d'"#))
    }
}
