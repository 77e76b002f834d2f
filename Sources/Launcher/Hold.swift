// `winnow hold`: the far end of an ssh connection, which runs one process and ends it with the connection.

internal import Foundation
internal import Glibc
internal import SecretFiles
internal import Subprocess
internal import Synchronization
internal import SystemPackage
internal import Wire

/// Runs one process of a launcher that is on another host.
///
/// The order comes as the first line of standard input. When the launcher dies, or the connection to it, standard input
/// ends, and the process with it: SIGTERM, five seconds later SIGKILL to its process group. The process writes to this
/// one's own standard output and error. Its standard input is a pipe from here, so that it ends even if this is killed.
public enum Hold {
    /// Runs until the process has ended.
    ///
    /// - Parameter executable: The program.
    /// - Returns: its exit status, or 128 and the number of the signal that ended it.
    public static func run(executable: String) async -> Int32 {
        let (events, report) = AsyncStream.makeStream(of: HoldSession.Event.self)
        Thread.detachNewThread { read { report.yield($0) } }
        let signals = StopSignals()
        let relay = Task { [reasons = signals.reasons] in for await _ in reasons { report.yield(.signal) } }
        let connection = ProcessInfo.processInfo.environment["SSH_CONNECTION"].flatMap { SSHConnection($0) }
        let ticks = Task {
            while (try? await Task.sleep(for: .seconds(1))) != nil {
                report.yield(.tick(retransmissions: connection?.retransmissions() ?? 0))
            }
        }
        defer {
            relay.cancel()
            ticks.cancel()
            signals.cancel()
        }
        var session = HoldSession()
        let child = HeldChild()
        for await event in events {
            for directive in session.handle(event) {
                switch directive {
                case .start(let order):
                    child.start(executable, order) { report.yield(.ended($0)) }
                case .terminate: child.signal(SIGTERM)
                case .kill: child.signal(SIGKILL)
                case .say(let text): say(text)
                case .exit(let status): return status
                }
            }
        }
        return 70
    }

    /// Nobody may read it any more, which is no reason to fail.
    fileprivate static func say(_ text: String) {
        try? Descriptor.write("(hold) \(text)\n".utf8, to: STDERR_FILENO)
    }

    /// Lines of standard input, to its end. On a thread of its own: it waits in the kernel.
    private static func read(_ report: (HoldSession.Event) -> Void) {
        var line: [UInt8] = []
        var bytes = [UInt8](repeating: 0, count: 4096)
        while line.count < HoldOrder.sizeLimit {
            let count = Glibc.read(STDIN_FILENO, &bytes, bytes.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            for byte in bytes[..<count] {
                if byte == UInt8(ascii: "\n") {
                    report(.line(line))
                    line = []
                } else {
                    line.append(byte)
                }
            }
        }
        report(.inputEnded)
    }
}

/// The process itself.
private final class HeldChild: Sendable {
    /// Its group, once it runs; the signal that came before.
    private let state = Mutex<(group: pid_t?, early: Int32?)>((nil, nil))

    /// Signals its process group.
    func signal(_ number: Int32) {
        state.withLock { state in
            guard let group = state.group else {
                state.early = number
                return
            }
            kill(-group, number)
        }
    }

    func start(_ executable: String, _ order: HoldOrder, ended: @escaping @Sendable (Int32) -> Void) {
        Task {
            guard let turn = await HoldTurn.take(order.name) else {
                Hold.say(
                    "\(order.name) of an earlier launch still runs on this host; end it, or give this one another name")
                return ended(69)
            }
            defer { turn.giveBack() }
            guard state.withLock({ $0.early }) == nil else { return ended(0) }
            ended(await run(executable, order))
        }
    }

    private func run(_ executable: String, _ order: HoldOrder) async -> Int32 {
        var options = PlatformOptions()
        options.processGroupID = 0
        var changes: [Environment.Key: String?] = [:]
        for (name, value) in order.environment {
            guard let key = Environment.Key(rawValue: name) else { return 64 }
            changes[key] = value
        }
        var secrets: HeldSecrets?
        do {
            secrets = try order.secrets.map { try HeldSecrets($0) }
        } catch {
            Hold.say("can't write its key: \(error)")
            return 73
        }
        defer { secrets?.remove() }
        do {
            let result = try await Subprocess.run(
                .path(FilePath(executable)),
                arguments: Arguments(secrets?.renamed(order.arguments) ?? order.arguments),
                environment: .inherit.updating(changes), platformOptions: options, input: .inputWriter,
                output: .fileDescriptor(.standardOutput, closeAfterSpawningProcess: false),
                error: .fileDescriptor(.standardError, closeAfterSpawningProcess: false)
            ) { child in
                let group = child.processIdentifier.value
                let early = state.withLock { state in
                    state.group = group
                    return state.early
                }
                if let early { kill(-group, early) }
                // Its input stays open until it has ended: returning would close it.
                await Self.waitForEnd(of: group)
            }
            state.withLock { $0.group = nil }
            switch result.terminationStatus {
            case .exited(let status): return status
            case .signaled(let signal): return 128 + signal
            }
        } catch {
            Hold.say("can't start \(executable): \(error)")
            return 71
        }
    }

    /// Waits without reaping, which is Subprocess's.
    private static func waitForEnd(of process: pid_t) async {
        await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
            Thread.detachNewThread {
                var info = siginfo_t()
                while waitid(P_PID, id_t(process), &info, WEXITED | WNOWAIT) != 0, errno == EINTR {}
                done.resume()
            }
        }
    }
}

/// Files that only this user may read, in a folder of their own.
private struct HeldSecrets {
    private let folder: PassingFolder
    private let original: String

    init(_ secrets: HoldOrder.Secrets) throws {
        original = secrets.folder
        folder = try PassingFolder()
        do {
            for (file, text) in secrets.texts {
                guard !file.isEmpty, !file.contains("/"), file != "..", file != "." else { throw Errno.invalidArgument }
                try SecretFile.write(Data(text.utf8), to: "\(folder.path)/\(file)")
            }
        } catch {
            remove()
            throw error
        }
    }

    /// Arguments that named the folder they come from.
    func renamed(_ arguments: [String]) -> [String] {
        arguments.map { word in
            word == original || word.hasPrefix(original + "/") ? folder.path + word.dropFirst(original.count) : word
        }
    }

    func remove() { folder.remove() }
}

/// One process of a name at a time: a new connection may come before the old one's process has ended.
private struct HoldTurn {
    private let socket: Int32

    /// Longer than ``HoldSession/grace``, so that a lost connection's process is waited for.
    private static let attempts = 150

    /// Takes the name, after waiting up to 15 s for whoever has it. An abstract socket is the lock: the kernel drops it
    /// with its process, and it is on no disk.
    static func take(_ name: String) async -> HoldTurn? {
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return nil }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array("\0winnow/\(getuid())/\(stableHash(name))".utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        for attempt in 0..<attempts {
            let isBound = withUnsafePointer(to: address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, length) == 0 }
            }
            if isBound { return HoldTurn(socket: socket) }
            if attempt == 0 { Hold.say("waiting for an earlier process of this name to end") }
            guard errno == EADDRINUSE, (try? await Task.sleep(for: .milliseconds(100))) != nil else { break }
        }
        close(socket)
        return nil
    }

    func giveBack() { close(socket) }

    /// FNV-1a, 64 bits: a name of any length in a place of 107 bytes, the same in every process.
    private static func stableHash(_ name: String) -> String {
        String(name.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }, radix: 16)
    }
}
