// Before a launch: the other hosts are looked at, and given the program where that was asked for.

internal import Subprocess
internal import SystemPackage

/// Looks at the hosts of a launch that are reached over ssh.
public struct RemoteHosts: Sendable {
    /// What the launcher's own machine is.
    private let own: HostReport
    private let version: String
    private let executable: String

    /// Longest answer of a host taken, in bytes.
    private static let answerLimit = 1 << 16

    /// - Parameters:
    ///   - executable: Path of the program here.
    ///   - version: What it says to `--version`.
    public init(executable: String, version: String) async {
        self.executable = executable
        self.version = version
        let answer = try? await Subprocess.run(
            .path("/bin/sh"), arguments: ["-s"],
            input: .fileDescriptor(Descriptor.holding(HostReport.script(executable)), closeAfterSpawningProcess: true),
            output: .string(limit: Self.answerLimit), error: .discarded)
        own = HostReport(answer?.standardOutput ?? "")
    }

    /// Looks at all hosts at once, and copies the program to each where `isPushed`.
    ///
    /// - Returns: what is wrong, a line each with its fix; empty where all can begin.
    public func prepare(_ hosts: [SSHHost], isPushed: Bool) async -> [String] {
        await withTaskGroup(of: (Int, String?).self) { group in
            for (index, host) in hosts.enumerated() {
                group.addTask { (index, await problem(of: host, isPushed: isPushed)) }
            }
            var problems: [(Int, String)] = []
            for await (index, problem) in group { if let problem { problems.append((index, problem)) } }
            return problems.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    private func problem(of host: SSHHost, isPushed: Bool) async -> String? {
        var report: HostReport
        switch await ask(host) {
        case .failed(let why): return why
        case .answered(let answer): report = answer
        }
        if isPushed {
            if let problem = report.problemOfBinary(from: own) { return "\(host.name): \(problem)" }
            if let problem = await push(to: host, withRsync: report.hasRsync && own.hasRsync) { return problem }
            switch await ask(host) {
            case .failed(let why): return why
            case .answered(let answer): report = answer
            }
        }
        return report.problemOfProgram(host.executable, version: version, isPushed: isPushed).map {
            "\(host.name): \($0)"
        }
    }

    private enum Answer {
        case answered(HostReport)
        case failed(String)
    }

    private func ask(_ host: SSHHost) async -> Answer {
        do {
            let result = try await Subprocess.run(
                .name("ssh"), arguments: Arguments(host.arguments("exec /bin/sh -s")),
                input: .fileDescriptor(
                    Descriptor.holding(HostReport.script(host.executable)), closeAfterSpawningProcess: true),
                output: .string(limit: Self.answerLimit), error: .string(limit: Self.answerLimit))
            guard result.terminationStatus == .exited(0) else {
                return .failed(Self.failure(of: host, "ssh", result.standardError))
            }
            return .answered(HostReport(result.standardOutput))
        } catch {
            return .failed("\(host.name): ssh can't be run: \(error); install OpenSSH's client")
        }
    }

    /// rsync sends what has changed and puts it in place at once; scp writes beside it, for a program that runs can't be
    /// written over.
    private func push(to host: SSHHost, withRsync: Bool) async -> String? {
        let folder = FilePath(host.executable).removingLastComponent().string
        if let problem = await ssh(host, "mkdir -p \(ShellWord.quoted(folder.isEmpty ? "." : folder))") {
            return problem
        }
        if withRsync {
            let shell = (["ssh"] + host.options).map(ShellWord.quoted).joined(separator: " ")
            return await run(
                host, "rsync",
                ["-z", "--chmod=755", "--copy-links", "--rsh", shell, "--", executable, host.file(host.executable)])
        }
        let new = host.executable + ".new"
        if let problem = await run(host, "scp", host.options + ["-q", "--", executable, host.file(new)]) {
            return problem
        }
        let (from, to) = (ShellWord.quoted(new), ShellWord.quoted(host.executable))
        return await ssh(host, "chmod 755 \(from) && mv -f \(from) \(to)")
    }

    private func ssh(_ host: SSHHost, _ command: String) async -> String? {
        await run(host, "ssh", host.arguments(command))
    }

    private func run(_ host: SSHHost, _ program: String, _ arguments: [String]) async -> String? {
        do {
            let result = try await Subprocess.run(
                .name(program), arguments: Arguments(arguments), output: .discarded,
                error: .string(limit: Self.answerLimit))
            return result.terminationStatus == .exited(0)
                ? nil : Self.failure(of: host, program, result.standardError)
        } catch {
            return "\(host.name): \(program) can't be run: \(error)"
        }
    }

    private static func failure(of host: SSHHost, _ program: String, _ words: String) -> String {
        let last = words.split(separator: "\n").last.map { ": \($0)" } ?? ""
        return
            "\(host.name): \(program) to \(host.destination) failed\(last); `ssh \(host.destination) true` must work "
            + "without a password"
    }
}
