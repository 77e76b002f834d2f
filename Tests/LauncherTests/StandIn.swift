// A shell script in place of the program, so that supervision is tested with real processes and no model.

import Foundation
import Launcher
import Synchronization

/// A folder with a script that plays coordinator and worker, told how to behave through variables.
final class StandIn: Sendable {
    let folder: URL

    /// - `behave` of the coordinator: `normal`, `silent` (listens, never ready), `mute` (says nothing), `busy` (ends
    ///   with 69), `stubborn` (ignores SIGTERM), `draining` (at SIGTERM says which workers live, a moment later);
    /// - `behave` of a worker: `normal`, `crash`, `stubborn` (ignores SIGTERM).
    private static let script = """
        #!/bin/sh
        # Every stand-in keeps `alive` open: its reader sees the end when all of them have ended.
        exec 9<>"$STAND_IN/alive"
        wait_for_end_of_input() { while read -r _; do :; done; exit 0; }
        case "$1" in
        coordinator)
            [ "$COORDINATOR" = mute ] && wait_for_end_of_input
            [ "$COORDINATOR" = busy ] && { echo "the port is in use" >&2; exit 69; }
            [ "$COORDINATOR" = stubborn ] && trap '' TERM
            workers=
            # The workers of a launch that ends all at once would have got their SIGTERM by the end of that moment.
            [ "$COORDINATOR" = draining ] && trap 'sleep 0.2
                for pid in $workers; do kill -0 $pid 2>/dev/null && echo "still there: worker $pid" >&2; done
                exit 0' TERM
            exec 8<>"$STAND_IN/registered"
            echo "starting up" >&2
            echo "pid $$" >&2
            echo "listening tcp://127.0.0.1:5999"
            for worker in 1 2; do read -r line <&8; echo "registered $line" >&2; workers="$workers ${line#worker }"; done
            [ "$COORDINATOR" = silent ] || echo "ready http://127.0.0.1:5998"
            wait_for_end_of_input ;;
        worker)
            [ "$3" = tcp://127.0.0.1:5999 ] || { echo "bad endpoint $3" >&2; exit 64; }
            [ "$WORKER" = stubborn ] && trap '' TERM
            echo "pid $$" >&2
            echo "worker $$" > "$STAND_IN/registered"
            if [ "$WORKER" = crash ]; then
                for line in $(seq 1 25); do echo "before the end $line" >&2; done
                printf 'last words' >&2
                exit 65
            fi
            wait_for_end_of_input ;;
        esac
        """

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "winnow-launch-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data(Self.script.utf8).write(to: folder.appending(path: "program"))
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o755], ofItemAtPath: folder.appending(path: "program").path)
        // The launch command checks that the model is there; the stand-ins don't read it.
        try FileManager.default.createDirectory(at: folder.appending(path: "m"), withIntermediateDirectories: true)
        try Data("{}".utf8).write(to: folder.appending(path: "m/config.json"))
        for name in ["registered", "alive"] {
            guard mkfifo(folder.appending(path: name).path, 0o600) == 0 else { throw POSIXError(.EIO) }
        }
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    var program: String { folder.appending(path: "program").path }

    /// A topology file for two workers with this behaviour.
    func topology(coordinator: String = "normal", worker: String = "normal") -> String {
        """
        model: m
        pipelines: [{stages: 2}]
        environment: {STAND_IN: "\(folder.path)", COORDINATOR: \(coordinator), WORKER: \(worker)}
        """
    }

    /// Opens the far end of `alive`; read it to its end to wait until no stand-in is left.
    func alive() throws -> FileHandle {
        // Non-blocking only for the open: without a writer yet, a blocking one would wait here.
        let descriptor = open(folder.appending(path: "alive").path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw POSIXError(.EIO) }
        _ = fcntl(descriptor, F_SETFL, 0)
        return FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    }
}

/// Collects what a launch says, and lets a test wait for it to be ready.
final class Recorder: Sendable {
    private struct Lines {
        var all: [String] = []
        var waiters: [(matches: @Sendable (String) -> Bool, continuation: CheckedContinuation<String, Never>)] = []
    }

    private let lines = Mutex(Lines())
    let ready: AsyncStream<String>
    private let readyContinuation: AsyncStream<String>.Continuation

    init() { (ready, readyContinuation) = AsyncStream.makeStream() }

    var output: Launch.Output {
        Launch.Output(
            log: { process, text in self.add("\(process): \(text)") }, say: { text in self.add("launch: \(text)") },
            ready: { self.readyContinuation.yield($0) })
    }

    var all: [String] { lines.withLock { $0.all } }

    private func add(_ line: String) {
        let found = lines.withLock { lines in
            lines.all.append(line)
            let found = lines.waiters.filter { $0.matches(line) }
            lines.waiters.removeAll { $0.matches(line) }
            return found
        }
        for waiter in found { waiter.continuation.resume(returning: line) }
    }

    /// The first such line, once it is there.
    func line(_ matches: @escaping @Sendable (String) -> Bool) async -> String {
        await withCheckedContinuation { continuation in
            let found = lines.withLock { lines -> String? in
                if let line = lines.all.first(where: matches) { return line }
                lines.waiters.append((matches, continuation))
                return nil
            }
            if let found { continuation.resume(returning: found) }
        }
    }
}
