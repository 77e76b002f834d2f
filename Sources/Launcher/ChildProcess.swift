// One child process: started, read line by line, signalled, and waited for.

internal import Subprocess
internal import SystemPackage

/// A running child. It has a process group of its own, so that a Ctrl-C at the terminal reaches only the launcher,
/// which then ends the children in order. Its standard input is a pipe the launcher never writes to: when the
/// launcher dies, however it dies, the kernel closes the pipe and a child started with `--exit-with-stdin` ends.
struct ChildProcess: Sendable {
    private let task: Task<Void, Never>
    private let terminations: AsyncStream<Void>.Continuation

    /// Starts `plan`.
    ///
    /// - Parameters:
    ///   - executable: Path of the program.
    ///   - plan: Its name, arguments and environment.
    ///   - report: Gets each line, and at last the end. Awaited, so a slow receiver slows the child's pipe down
    ///     instead of filling this process's memory.
    init(executable: String, plan: ProcessPlan, report: @escaping @Sendable (LaunchSession.Event) async -> Void) {
        let (requests, terminations) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        self.terminations = terminations
        task = Task {
            let end = await Self.run(executable, plan, requests, report)
            await report(.ended(process: plan.name, end))
        }
    }

    /// Sends SIGTERM.
    func terminate() { terminations.yield() }

    /// Sends SIGKILL to the child and what it started.
    func kill() { task.cancel() }

    private static func run(
        _ executable: String, _ plan: ProcessPlan, _ requests: AsyncStream<Void>,
        _ report: @escaping @Sendable (LaunchSession.Event) async -> Void
    ) async -> ProcessEnd {
        var options = PlatformOptions()
        options.processGroupID = 0
        // What cancelling the task does: no grace here, the session has already given it.
        options.teardownSequence = [.send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .zero)]
        var changes: [Environment.Key: String?] = [:]
        for (name, value) in plan.environment {
            guard let key = Environment.Key(rawValue: name) else { return .notStarted("bad variable name `\(name)`") }
            changes[key] = value
        }
        do {
            let result = try await Subprocess.run(
                .path(FilePath(executable)), arguments: Arguments(plan.arguments),
                environment: .inherit.updating(changes), platformOptions: options,
                input: .inputWriter, output: .sequence, error: .sequence
            ) { child in
                await withTaskGroup(of: Void.self) { group in
                    group.addTask { await forward(child.standardOutput, of: plan.name, output: true, report) }
                    group.addTask { await forward(child.standardError, of: plan.name, output: false, report) }
                    let signals = Task {
                        for await _ in requests {
                            // Fails only when the child has already ended, which is what is asked for.
                            try? child.send(signal: .terminate)
                        }
                    }
                    await group.waitForAll()
                    signals.cancel()
                    await signals.value
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
