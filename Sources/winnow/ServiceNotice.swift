// What systemd is told: that a process is ready, what it does, and that it lives.

import Glibc
import Synchronization

/// The protocol of `sd_notify(3)`: a datagram of lines to the socket that `NOTIFY_SOCKET` names. Without one nothing is said.
enum ServiceNotice {
    /// Says it can do its work, what that is, and from then on that it lives, twice in each interval of the watchdog's. The
    /// words are sent by the tasks' own threads: where those hang no sign of life is sent.
    static func ready(_ status: String) {
        send("READY=1\nSTATUS=\(status)")
        guard let interval = watchdogInterval, !isWatched.exchange(true, ordering: .relaxed) else { return }
        Task {
            while (try? await Task.sleep(for: interval / 2)) != nil { send("WATCHDOG=1") }
        }
    }

    /// Says what it does now.
    static func status(_ text: String) { send("STATUS=\(text)") }

    /// Says that it is about to end.
    static func stopping() { send("STOPPING=1") }

    private static let isWatched = Atomic(false)

    /// What the watchdog waits for; nil: there is none, or it watches another process.
    private static var watchdogInterval: Duration? {
        guard let text = getenv("WATCHDOG_USEC"), let microseconds = Int64(String(cString: text)), microseconds > 0
        else { return nil }
        if let process = getenv("WATCHDOG_PID"), pid_t(String(cString: process)) != getpid() { return nil }
        return .microseconds(microseconds)
    }

    private static func send(_ text: String) {
        guard let path = getenv("NOTIFY_SOCKET") else { return }
        var bytes = Array(String(cString: path).utf8)
        var address = sockaddr_un()
        guard bytes.count > 1, bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        // `@` begins an abstract name, which the kernel writes with a zero byte.
        if bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 }
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        let socket = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return }
        defer { close(socket) }
        let message = Array(text.utf8)
        _ = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(socket, message, message.count, Int32(MSG_NOSIGNAL), $0, length)
            }
        }
    }
}
