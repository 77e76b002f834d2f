// What systemd would be told, at a socket in its place.

import Foundation
import Testing

extension EndToEnd {
    @Suite("Notices to systemd", .timeLimit(.minutes(1)))
    struct NoticeTests {
        /// The socket that `NOTIFY_SOCKET` names; reads wait at most 20 s.
        private final class Ear: Sendable {
            let descriptor: Int32
            let path: String

            init(in folder: TemporaryFolder) throws {
                path = folder.file("notify").path
                descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
                var address = sockaddr_un()
                address.sun_family = sa_family_t(AF_UNIX)
                let bytes = Array(path.utf8)
                withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
                let bound = withUnsafePointer(to: address) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                    }
                }
                try #require(descriptor >= 0 && bound == 0)
                var limit = timeval(tv_sec: 20, tv_usec: 0)
                setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            }

            deinit { close(descriptor) }

            func next() async -> String? {
                await withCheckedContinuation { done in
                    Thread.detachNewThread { [descriptor] in
                        var bytes = [UInt8](repeating: 0, count: 4096)
                        let count = recv(descriptor, &bytes, bytes.count, 0)
                        done.resume(returning: count < 0 ? nil : String(decoding: bytes[..<count], as: UTF8.self))
                    }
                }
            }
        }

        @Test func aWorkerSaysThatItIsReadyAndThenThatItLives() async throws {
            let folder = try TemporaryFolder()
            let ear = try Ear(in: folder)
            let worker = try RunningProgram(
                ["worker", "--model", Package.stories, "--coordinator", "tcp://127.0.0.1:1"],
                environment: ["NOTIFY_SOCKET": ear.path, "WATCHDOG_USEC": "200000"])
            defer { worker.kill(SIGKILL) }
            #expect(await ear.next()?.hasPrefix("READY=1\nSTATUS=listening at tcp://127.0.0.1:") == true)
            for _ in 0..<3 { #expect(await ear.next() == "WATCHDOG=1") }
            worker.kill(SIGTERM)
            var last = await ear.next()
            while last == "WATCHDOG=1" { last = await ear.next() }
            #expect(last == "STOPPING=1")
        }

        @Test func aWatchdogOfAnotherProcessIsNotOurs() async throws {
            let folder = try TemporaryFolder()
            let ear = try Ear(in: folder)
            let coordinator = try RunningProgram(
                ["coordinator", "--model", Package.stories, "--http", "127.0.0.1:0", "--listen", "tcp://127.0.0.1:*"],
                environment: ["NOTIFY_SOCKET": ear.path, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"])
            defer { coordinator.kill(SIGKILL) }
            #expect(await ear.next()?.hasPrefix("READY=1\nSTATUS=waiting for workers at tcp://") == true)
            coordinator.kill(SIGTERM)
            #expect(await ear.next() == "STOPPING=1")
        }
    }
}
