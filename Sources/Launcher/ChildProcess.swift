// One child process: started, read line by line, signalled, and waited for.

internal import Foundation
internal import Subprocess
internal import SystemPackage

/// A running child. It has a process group of its own, so that a Ctrl-C at the terminal reaches only the launcher,
/// which then ends the children in order. Its standard input is a pipe: when the launcher dies, however it dies, the
/// kernel closes the pipe and a child started with `--exit-with-stdin` ends.
///
/// A process on another host is an `ssh` here and a `winnow hold` there. The pipe carries the order, then words; its end
/// passes through ssh and ends the process.
struct ChildProcess: Sendable {
    private let task: Task<Void, Never>
    private let words: AsyncStream<HoldWord>.Continuation
    private let place: Place

    /// How long a process on another host may take to be killed before its ssh is.
    private static let farKill: Duration = .seconds(2)

    /// Starts `plan`.
    ///
    /// - Parameters:
    ///   - executable: Path of the program here.
    ///   - cluster: The topology's name, by which hosts tell its processes from another's.
    ///   - plan: Its name, arguments, environment and place.
    ///   - report: Gets each line, and at last the end. Awaited, so a slow receiver slows the child's pipe down
    ///     instead of filling this process's memory.
    init(
        executable: String, cluster: String, plan: ProcessPlan,
        report: @escaping @Sendable (LaunchSession.Event) async -> Void
    ) {
        let (requests, words) = AsyncStream.makeStream(of: HoldWord.self, bufferingPolicy: .bufferingNewest(8))
        self.words = words
        place = plan.place
        let invocation = Invocation(plan, executable: executable, cluster: cluster)
        task = Task {
            var end = await Self.run(invocation, plan.name, requests, report)
            if case .ssh(let host) = plan.place {
                // ssh's own status where the connection is lost; a signal here is ssh's too.
                if Self.isLost(end) {
                    await report(
                        .line(
                            process: plan.name, text: "(the ssh connection to \(host.name) has ended)", output: false))
                }
                end = Self.far(end)
            }
            await report(.ended(process: plan.name, end))
        }
    }

    /// Sends SIGTERM.
    func terminate() { words.yield(.terminate) }

    /// Sends SIGKILL to the child and what it started.
    func kill() {
        guard case .ssh = place else { return task.cancel() }
        words.yield(.kill)
        // Where the connection no longer carries anything.
        Task { [task] in
            try? await Task.sleep(for: Self.farKill)
            task.cancel()
        }
    }

    /// What is run here for a process.
    private struct Invocation: Sendable {
        var executable: Executable
        var arguments: [String]
        var environment: [String: String]
        /// What the far end is told; nil for a process of this machine.
        var order: HoldOrder?

        init(_ plan: ProcessPlan, executable: String, cluster: String) {
            switch plan.place {
            case .here:
                self.executable = .path(FilePath(executable))
                arguments = plan.arguments
                environment = plan.environment
            case .ssh(let host):
                self.executable = .name("ssh")
                arguments = host.holdArguments
                environment = [:]
                order = HoldOrder(
                    name: "\(cluster)/\(plan.name)", arguments: plan.arguments, environment: plan.environment,
                    secrets: Self.secrets(plan.keyFiles))
            }
        }

        /// A file that can't be read is missing there, which the process says.
        private static func secrets(_ paths: [String]) -> HoldOrder.Secrets? {
            guard let first = paths.first else { return nil }
            let texts = paths.compactMap { path in
                (try? String(contentsOfFile: path, encoding: .utf8)).map { ((path as NSString).lastPathComponent, $0) }
            }
            return HoldOrder.Secrets(
                folder: (first as NSString).deletingLastPathComponent,
                texts: Dictionary(texts) { first, _ in first })
        }
    }

    private static func run(
        _ invocation: Invocation, _ name: String, _ requests: AsyncStream<HoldWord>,
        _ report: @escaping @Sendable (LaunchSession.Event) async -> Void
    ) async -> ProcessEnd {
        var options = PlatformOptions()
        options.processGroupID = 0
        // What cancelling the task does: no grace here, the session has already given it.
        options.teardownSequence = [.send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .zero)]
        var changes: [Environment.Key: String?] = [:]
        for (name, value) in invocation.environment {
            guard let key = Environment.Key(rawValue: name) else { return .notStarted("bad variable name `\(name)`") }
            changes[key] = value
        }
        do {
            let result = try await Subprocess.run(
                invocation.executable, arguments: Arguments(invocation.arguments),
                environment: .inherit.updating(changes), platformOptions: options,
                input: .inputWriter, output: .sequence, error: .sequence
            ) { child in
                await withTaskGroup(of: Void.self) { group in
                    group.addTask { await forward(child.standardOutput, of: name, output: true, report) }
                    group.addTask { await forward(child.standardError, of: name, output: false, report) }
                    let signals = Task {
                        // A write fails only when the child has already ended, which is seen elsewhere.
                        if let order = invocation.order { _ = try? await child.standardInputWriter.write(order.line) }
                        for await word in requests {
                            if invocation.order != nil {
                                _ = try? await child.standardInputWriter.write(word.line)
                            } else if word == .terminate {
                                try? child.send(signal: .terminate)
                            }
                        }
                    }
                    let heartbeat = invocation.order.map { _ in
                        Task {
                            while (try? await Task.sleep(for: HoldWord.interval)) != nil {
                                _ = try? await child.standardInputWriter.write(HoldWord.alive.line)
                            }
                        }
                    }
                    await group.waitForAll()
                    signals.cancel()
                    heartbeat?.cancel()
                    await signals.value
                    await heartbeat?.value
                }
            }
            switch result.terminationStatus {
            case .exited(let status): return .exited(status)
            case .signaled(let signal): return .signaled(signal)
            }
        } catch {
            return .notStarted(String(describing: error))
        }
    }

    /// Whether it is ssh that ended, and not the process behind it.
    private static func isLost(_ end: ProcessEnd) -> Bool {
        switch end {
        case .exited(let status): status == 255
        case .signaled: true
        case .notStarted: false
        }
    }

    /// How the process behind an ssh ended, from what its ssh said.
    private static func far(_ end: ProcessEnd) -> ProcessEnd {
        if case .exited(let status) = end, (129...192).contains(status) { .signaled(status - 128) } else { end }
    }

    private static func forward(
        _ stream: SubprocessOutputSequence, of process: String, output: Bool,
        _ report: @Sendable (LaunchSession.Event) async -> Void
    ) async {
        var splitter = LineSplitter()
        do {
            for try await buffer in stream {
                for line in buffer.withUnsafeBytes({ splitter.append($0) }) {
                    await report(.line(process: process, text: line, output: output))
                }
            }
        } catch {
            await report(.line(process: process, text: "(its output can't be read any more: \(error))", output: false))
        }
        if let line = splitter.finish() { await report(.line(process: process, text: line, output: output)) }
    }
}
