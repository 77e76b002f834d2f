// `winnow check` with hosts: what it asks them over ssh, with a script in ssh's place, and what is answered there.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("Check", .timeLimit(.minutes(1)))
    struct CheckTests {
        private let folder: TemporaryFolder

        init() throws { folder = try TemporaryFolder() }

        private struct Report: Decodable {
            struct Problem: Decodable {
                var severity: String
                var key: String
                var host: String?
                var problem: String
                var fix: String
            }
            struct Host: Decodable {
                var version: String
                var products: [String: String]
                var memory: Int?
            }
            var problems: [Problem]
            var hosts: [String: Host]
        }

        /// Two hosts that are reached by a script, which asks this machine's program and changes the answers: `facts` is a
        /// script for sed, `unreached` the answer of the host that connects.
        private func check(
            _ topology: String, facts: String = "", unreached: String = "{}", options: [String] = ["--json"]
        ) async throws -> (end: RunningProgram.End, report: Report?, output: [String], calls: [String]) {
            let bin = folder.file("bin").path
            try FileManager.default.createDirectory(atPath: bin, withIntermediateDirectories: true)
            let calls = folder.file("calls").path
            let ssh = """
                #!/bin/sh
                all="$*"
                while [ "$1" != -- ]; do shift; done
                echo "$2 $3" >>\(calls)
                [ "$2" != me@gone ] || { echo "ssh: Could not resolve hostname gone" >&2; exit 255; }
                [ "$2" != me@old ] || { read -r line; echo '{"version": "0.0.1", "facts": {"version": 1}}'; cat >/dev/null; exit; }
                while read -r line; do
                    case $line in
                    *'"connect"'*) echo '{"unreached": \(unreached)}' ;;
                    *'"listen"'*) printf '%s\\n' "$line" | sed 's/.*"listen":\\(\\[[^]]*\\]\\).*/{"listening": \\1}/' ;;
                    *) printf '%s\\n' "$line" | \(Program.path) check --facts |
                        sed -e 's/"busyEndpoints":{[^}]*}/"busyEndpoints":{}/' \(facts) ;;
                    esac
                done
                """
            try Data(ssh.utf8).write(to: URL(fileURLWithPath: "\(bin)/ssh"))
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: "\(bin)/ssh")
            try Data(topology.utf8).write(to: folder.file("t.yaml"))
            let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
            let run = try await Program.run(
                ["check", folder.file("t.yaml").path] + options, environment: ["PATH": "\(bin):\(path)"])
            let report = try? JSONDecoder().decode(Report.self, from: Data(run.output.joined().utf8))
            let said = (try? String(contentsOfFile: calls, encoding: .utf8)) ?? ""
            return (run.end, report, run.output + run.log, said.split(separator: "\n").map(String.init))
        }

        private static func topology(_ b: String = "me@b") -> String {
            """
            model: \(Package.stories)
            hosts:
              a: {address: 192.0.2.1, ssh: me@a, executable: bin/winnow}
              b: {address: 192.0.2.2, ssh: \(b)}
            coordinator: {host: a}
            pipelines: [{threads: 2, stages: [{host: a}, {host: b}]}]
            """
        }

        @Test func hostsThatAreRightAreSilentAndDescribed() async throws {
            let checked = try await check(Self.topology())
            #expect(checked.end == .exit(0), "\(checked.output)")
            let report = try #require(checked.report)
            // This machine may be slow at something, or small.
            #expect(report.problems.filter { $0.severity != "warning" }.isEmpty, "\(report.problems)")
            #expect(Set(report.hosts.keys) == ["a", "b"])
            #expect(report.hosts["b"]?.products["auto"]?.contains("level") == true)
            // One connection each, through which everything is asked; the program is the one that the file names.
            #expect(
                checked.calls.sorted() == [
                    "me@a exec bin/winnow check --facts", "me@b exec \(Program.path) check --facts",
                ])
        }

        @Test func aPortThatIsClosedOnTheWayIsNamed() async throws {
            let checked = try await check(
                Self.topology(), unreached: #"{"tcp://192.0.2.2:5711": "Connection timed out"}"#)
            #expect(checked.end == .exit(69))
            let found = try #require(checked.report).problems.filter { $0.severity == "host" }
            #expect(found.map(\.key) == ["pipelines[0].stages[1].listen"] && found[0].host == "b")
            #expect(found[0].problem == "tcp://192.0.2.2:5711 can't be reached from a: Connection timed out")
        }

        /// Faults of hosts, each said by the host as the real program says it.
        @Test(
            arguments: [
                (#"-e 's/"version":"[^"]*"/"version":"0.0.9"/g'"#, "version 0.0.9", 69),
                (#"-e 's/"openFiles":[0-9]*/"openFiles":64/'"#, "64 files may be open", 0),
                (#"-e 's/"memory":[0-9]*/"memory":100000/'"#, "MiB are free", 69),
                (#"-e 's/"clock":[0-9]*/"clock":1000/'"#, "behind", 0),
                (#"-e 's/"fingerprint":"[^"]*"/"fingerprint":"'$$'"/'"#, "has other weights than on a", 69),
                (#"-e 's/"models":{"[^"]*":{/&"problem":"no such model",/'"#, "no such model", 69),
                (#"-e 's/"cpus":\[[^]]*\]/"cpus":[0]/'"#, "it has 1 CPU", 0),
            ] as [(String, String, Int32)])
        func whatAHostSaysIsJudged(facts: String, says: String, code: Int32) async throws {
            let checked = try await check(Self.topology() + "\ndtype: f32", facts: facts)
            #expect(checked.end == .exit(code), "\(checked.output)")
            #expect(try #require(checked.report).problems.contains { $0.problem.contains(says) }, "\(checked.output)")
        }

        @Test(arguments: [
            ("me@gone", "Could not resolve hostname gone"), ("me@old", "another version of the program, 0.0.1"),
        ])
        func aHostThatCannotBeAskedIsNamedWithItsWords(destination: String, says: String) async throws {
            let checked = try await check(Self.topology(destination), options: [])
            #expect(checked.end == .exit(69))
            #expect(checked.output.contains { $0.contains("hosts.b: ") && $0.contains(says) && $0.contains("--push") })
        }

        /// The far side: a line each, answered in turn, to the end of its input.
        @Test func aHostAnswersLineByLine() async throws {
            let port = try FreePort.any()
            let host = try RunningProgram(["check", "--facts"])
            defer { host.kill(SIGKILL) }
            func ask(_ line: String) async throws -> String {
                try host.write(line + "\n")
                return try await within(.seconds(20), "an answer") {
                    try await host.output.next("an answer") { _ in true }
                }
            }
            let facts = try await ask(
                #"{"facts": {"models": ["\#(Package.stories)"], "tokenizers": [], "endpoints": [], "caches": [""]}}"#)
            #expect(facts.contains(#""layerCount":5"#) && facts.contains("fingerprint"))
            let listening = try await ask(#"{"listen": ["tcp://127.0.0.1:\#(port)"], "word": "hello"}"#)
            #expect(listening.contains("127.0.0.1:\(port)"))
            let answer = try await ask(#"{"connect": {"tcp://127.0.0.1:\#(port)": "hello"}}"#)
            #expect(answer.contains(#""unreached":{}"#))
            let stranger = try await ask(#"{"connect": {"tcp://127.0.0.1:\#(port)": "goodbye"}}"#)
            #expect(stranger.contains("another host or program"))
            try host.closeInput()
            #expect(try await within(.seconds(20), "its end") { try await host.end() } == .exit(0))
        }

        @Test func aLineThatIsNoRequestEndsIt() async throws {
            let host = try RunningProgram(["check", "--facts"])
            defer { host.kill(SIGKILL) }
            try host.write("nonsense\n")
            #expect(try await within(.seconds(20), "its end") { try await host.end() } == .exit(64))
        }
    }
}
