// The worker's C library in programs of their own: what it needs and shows, wrong arguments, a stage of a real cluster.

import ChildPrograms
import Foundation
import Testing

extension EndToEnd {
    @Suite("Hosts of the worker", .timeLimit(.minutes(3)))
    struct HostTests {
        /// Built beside the tests.
        static let library = URL(fileURLWithPath: Program.path).deletingLastPathComponent()
            .appending(path: "libwinnow_worker.so").path
        static let isBuilt = FileManager.default.fileExists(atPath: library)
        static let compiler = ["/usr/bin/cc", "/usr/bin/clang"].first {
            FileManager.default.isExecutableFile(atPath: $0)
        }
        static let hasABIDiff = FileManager.default.isExecutableFile(atPath: "/usr/bin/abidiff")
        private static let headers = Package.file("Sources/CWinnowWorker/include")

        private static func run(
            _ program: String, _ arguments: [String], environment: [String: String] = [:],
            limit: Duration = .seconds(60)
        ) async throws -> (end: RunningProgram.End, lines: [String]) {
            let process = try RunningProgram(arguments, program: program, environment: environment)
            defer { process.kill(SIGKILL) }
            return try await within(limit, "the end of \(program)") {
                (try await process.end(), try await process.output.all() + process.log.all())
            }
        }

        /// A C program, linked as an embedder's is. The library lies where an installation puts it.
        private struct Host {
            let folder: TemporaryFolder
            let program: String
            var environment: [String: String] { ["LD_LIBRARY_PATH": folder.path] }

            init(_ source: String) async throws {
                folder = try TemporaryFolder()
                program = folder.file("host").path
                for name in ["libwinnow_worker.so", "libwinnow_worker.so.1"] {
                    try FileManager.default.createSymbolicLink(
                        atPath: folder.file(name).path, withDestinationPath: HostTests.library)
                }
                let compiler = try #require(HostTests.compiler)
                let built = try await HostTests.run(
                    compiler,
                    [
                        "-std=gnu11", "-Wall", "-Wextra", "-Werror", source, "-I", HostTests.headers, "-L", folder.path,
                        "-lwinnow_worker", "-o", program,
                    ])
                try #require(built.end == .exit(0), "\(built.lines.joined(separator: "\n"))")
            }
        }

        @Test(.enabled(if: isBuilt, "libwinnow_worker.so is not built beside the tests: IS SKIPPED"))
        func theLibraryStandsAloneAndShowsItsHeaderOnly() async throws {
            let dynamic = try await Self.run("/usr/bin/readelf", ["--wide", "--dynamic", Self.library])
            func entries(_ tag: String) -> Set<String> {
                Set(
                    dynamic.lines.filter { $0.contains("(\(tag))") }
                        .compactMap { $0.split(separator: "[").last?.split(separator: "]").first.map(String.init) })
            }
            // Of the system, and what the field has: no Swift among them. BLAS and oneDNN are looked for when they are needed.
            let allowed: Set<String> = [
                "libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "ld-linux-x86-64.so.2",
                "ld-linux-aarch64.so.1", "libzmq.so.5", "libsodium.so.23", "libonig.so.5",
            ]
            #expect(entries("NEEDED").isSubset(of: allowed), "\(entries("NEEDED").subtracting(allowed))")
            #expect(entries("NEEDED").contains("libzmq.so.5"))
            #expect(entries("SONAME") == ["libwinnow_worker.so.1"])
            let symbols = try await Self.run("/usr/bin/nm", ["--dynamic", "--defined-only", Self.library])
            let shown = symbols.lines.compactMap { $0.split(separator: " ").last.map(String.init) }
            let header = try String(contentsOfFile: "\(Self.headers)/winnow_worker.h", encoding: .utf8)
            let declared = header.matches(of: #/WINNOW_PUBLIC[^;(#]*?(winnow_\w+)\(/#).map { String($0.1) }
            #expect(declared.count > 14 && shown.sorted() == declared.sorted())
        }

        @Test(.enabled(if: isBuilt && compiler != nil, "no library or no C compiler: IS SKIPPED"))
        func wrongArgumentsGetAStatusNeverASignal() async throws {
            let host = try await Host(Package.file("Tests/WinnowTests/Fixtures/hosts/wrong.c"))
            let run = try await Self.run(
                host.program, [Package.stories, Package.file("README.md")], environment: host.environment)
            #expect(run.end == .exit(0), "\(run.lines.joined(separator: "\n"))")
            #expect(run.lines == ["0 problems"])
        }

        @Test(.enabled(if: isBuilt && compiler != nil, "no library or no C compiler: IS SKIPPED"))
        func manyLivesLeaveNothingBehind() async throws {
            let host = try await Host(Package.file("Tests/WinnowTests/Fixtures/hosts/lives.c"))
            let run = try await Self.run(
                host.program, [Package.stories, "tcp://127.0.0.1:9", "30", "0"], environment: host.environment)
            #expect(run.end == .exit(0), "\(run.lines.joined(separator: "\n"))")
        }

        @Test(.enabled(if: isBuilt && compiler != nil, "no library or no C compiler: IS SKIPPED"))
        func fewFileDescriptorsAreAStatusNeverASignal() async throws {
            let host = try await Host(Package.file("Tests/WinnowTests/Fixtures/hosts/few_descriptors.c"))
            let run = try await Self.run(
                host.program, [Package.stories, "tcp://127.0.0.1:9"], environment: host.environment)
            #expect(run.end == .exit(0), "\(run.lines.joined(separator: "\n"))")
        }

        /// Two workers in one process are the whole pipeline; they outlive the coordinator, and leave when a spare is there.
        @Test(.enabled(if: isBuilt && compiler != nil, "no library or no C compiler: IS SKIPPED"))
        func aCHostServesAPipeline() async throws {
            let host = try await Host(Package.file("cluster/hosts/c/host.c"))
            let needle = try #require(try Needle.all("needle-2048").first { $0.answer == "25502" })
            try await withCluster(.needle(stages: 2)) { cluster in
                let stages = try RunningProgram(
                    ["stage", Package.needle, cluster.endpoint, "2"], name: "host", program: host.program,
                    environment: host.environment)
                defer { stages.kill(SIGKILL) }
                let client = try await cluster.ready()
                #expect(try await client.complete(needle.ask(.windows)).text.contains(needle.answer))
                cluster.coordinator.kill(SIGTERM)
                try await cluster.restartCoordinator()
                let again = try await cluster.ready()
                #expect(try await again.complete(needle.ask(.windows)).text.contains(needle.answer))
                for _ in 0..<2 { try cluster.addWorker() }
                stages.kill(SIGTERM)
                let end = try await within(.seconds(30), "the host's end") { try await stages.end() }
                let said = try await stages.output.all()
                #expect(end == .exit(0), "\((said + stages.log.soFar).joined(separator: "\n"))")
                for line in ["registered", "ready", "draining", "ended"] {
                    for worker in 0..<2 { #expect(said.contains { $0.hasPrefix("\(worker) \(line)") }, "\(said)") }
                }
                #expect(try await again.complete(needle.ask(.windows)).text.contains(needle.answer))
            }
        }

        /// A pipeline that is cut between the halves of a layer, and within one of them.
        @Test(
            .enabled(if: isBuilt && compiler != nil, "no library or no C compiler: IS SKIPPED"),
            arguments: [["0-1a", "1f-3"], ["0-2f40", "2f40-3"]])
        func aCHostHoldsLayersToTheHalf(layers: [String]) async throws {
            let host = try await Host(Package.file("cluster/hosts/c/host.c"))
            let needle = try #require(try Needle.all("needle-2048").first { $0.answer == "25502" })
            try await withCluster(.needle(stages: 2)) { cluster in
                let stages = try RunningProgram(
                    ["stage", Package.needle, cluster.endpoint, "2"] + layers, name: "host", program: host.program,
                    environment: host.environment)
                defer { stages.kill(SIGKILL) }
                let client = try await cluster.ready()
                #expect(try await client.complete(needle.ask(.windows)).text.contains(needle.answer))
                stages.kill(SIGTERM)
                stages.kill(SIGTERM)
                let end = try await within(.seconds(30), "the host's end") { try await stages.end() }
                let said = try await stages.output.all()
                #expect(end == .exit(0), "\((said + stages.log.soFar).joined(separator: "\n"))")
                for (worker, span) in layers.enumerated() {
                    #expect(said.contains("\(worker) assigned stage \(worker) of 2 layers \(span)"), "\(said)")
                }
            }
        }

        @Test(.enabled(if: hasABIDiff, "abidiff is not installed (abigail-tools): IS SKIPPED"))
        func theInterfaceIsTheBaselines() async throws {
            let same = try await Self.run("/bin/bash", [Package.file("scripts/abi.sh")])
            #expect(same.end == .exit(0), "\(same.lines.joined(separator: "\n"))")
            // And a change that breaks programs is seen.
            let folder = try TemporaryFolder()
            let header = try String(contentsOfFile: "\(Self.headers)/winnow_worker.h", encoding: .utf8)
            for (name, old, new, status) in [
                ("type.h", "double fraction;", "float fraction;", 1),
                ("code.h", "WINNOW_TIMEOUT = 10", "WINNOW_TIMEOUT = 11", 1),
                ("middle.h", "int32_t requests;", "int32_t requests; int64_t more;", 1),
                ("gone.h", "    const char *layers;\n} winnow_event;", "} winnow_event;", 1),
                // One that does not: a field more at the end.
                ("end.h", "double busy_share;", "double busy_share; int64_t more;", 0),
            ] {
                #expect(header.contains(old))
                try Data(header.replacing(old, with: new).utf8).write(to: folder.file(name))
                let changed = try await Self.run(
                    "/bin/bash", [Package.file("scripts/abi.sh"), "--header", folder.file(name).path])
                #expect(changed.end == .exit(Int32(status)), "\(name)\n\(changed.lines.joined(separator: "\n"))")
            }
        }
    }
}
