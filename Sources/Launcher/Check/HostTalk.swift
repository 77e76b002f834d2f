// What is said between `winnow check` and the program on a host: a line of JSON each, answered one after the other.

internal import Foundation
internal import Subprocess
internal import Synchronization
internal import SystemPackage

/// One thing asked of a host.
public struct HostRequest: Codable, Sendable {
    /// To say about itself.
    public var facts: HostQuestion?
    /// Endpoints to listen at from now on, saying ``word`` to who connects.
    public var listen: [String]?
    public var word: String?
    /// Endpoints of other hosts to try, each with the word that is to be heard there.
    public var connect: [String: String]?

    /// Nothing asked yet.
    public init() {}
}

/// A host's answer to it.
public struct HostReply: Codable, Sendable {
    public var facts: HostFacts?
    /// The endpoints it listens at now.
    public var listening: [String]?
    /// Why an endpoint was not reached.
    public var unreached: [String: String]?
    /// The program's version, whatever else it may know.
    public var version: String?

    /// Nothing said yet.
    public init() {}
}

/// A host that is asked over ssh: `ssh HOST winnow check --facts`. It ends with this.
final class HostTalk: Sendable {
    /// Why a host said nothing.
    struct Silence: Error { var why: String }
    private typealias Answer = CheckedContinuation<Result<HostReply, Silence>, Never>
    private struct State {
        var waiting: Answer?
        /// Why nothing more will be said.
        var end: Silence?
    }

    private let lines: AsyncStream<[UInt8]>.Continuation
    private let state: StateBox
    private let task: Task<Void, Never>

    /// Of the task too.
    private final class StateBox: Sendable {
        private let state = Mutex(State())

        /// False where nobody will answer; the asker is told so.
        func wait(_ answer: Answer) -> Bool {
            let end = state.withLock { state in
                if state.end == nil { state.waiting = answer }
                return state.end
            }
            if let end { answer.resume(returning: .failure(end)) }
            return end == nil
        }

        func answer(_ reply: Result<HostReply, Silence>) {
            let waiting = state.withLock { state in
                defer { state.waiting = nil }
                return state.waiting
            }
            waiting?.resume(returning: reply)
        }

        func end(_ why: Silence) {
            state.withLock { $0.end = why }
            answer(.failure(why))
        }
    }

    /// Longest answer taken, in bytes, and longest wait for it.
    private static let answerLimit = 1 << 20
    static let patience = Duration.seconds(60)

    init(_ host: SSHHost) {
        let (stream, lines) = AsyncStream.makeStream(of: [UInt8].self)
        let state = StateBox()
        (self.lines, self.state) = (lines, state)
        let words = host.arguments("exec \(ShellWord.quoted(host.executable)) check --facts")
        task = Task { state.end(await Self.run(words, stream) { state.answer($0) }) }
    }

    deinit {
        lines.finish()
        task.cancel()
    }

    /// Asks one thing; the answer to the last must have come.
    func ask(_ request: HostRequest) async -> Result<HostReply, Silence> {
        guard let line = try? JSONEncoder().encode(request) else { return .failure(Silence(why: "can't be asked")) }
        let timer = Task { [task] in
            try await Task.sleep(for: Self.patience)
            task.cancel()
        }
        defer { timer.cancel() }
        return await withCheckedContinuation { answer in
            if state.wait(answer) { lines.yield(Array(line) + [UInt8(ascii: "\n")]) }
        }
    }

    /// Puts the lines to the program and passes its answers on, until there are no more lines or it has ended.
    ///
    /// - Returns: why there will be no more answers.
    private static func run(
        _ words: [String], _ lines: AsyncStream<[UInt8]>,
        _ report: @escaping @Sendable (Result<HostReply, Silence>) -> Void
    ) async -> Silence {
        let last = LastLine()
        do {
            var options = PlatformOptions()
            options.teardownSequence = [.send(signal: .kill, toProcessGroup: false, allowedDurationToNextStep: .zero)]
            _ = try await Subprocess.run(
                .name("ssh"), arguments: Arguments(words), platformOptions: options, input: .inputWriter,
                output: .sequence, error: .sequence
            ) { child in
                await withTaskGroup(of: Void.self) { group in
                    group.addTask { await remember(child.standardError, in: last) }
                    var buffers = child.standardOutput.makeAsyncIterator()
                    var bytes: [UInt8] = []
                    for await line in lines {
                        _ = try? await child.standardInputWriter.write(line)
                        while !bytes.contains(UInt8(ascii: "\n")), bytes.count < answerLimit {
                            guard let buffer = try? await buffers.next() else { break }
                            buffer.withUnsafeBytes { bytes += $0 }
                        }
                        guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else { break }
                        report(reply(Data(bytes[..<end])))
                        bytes.removeSubrange(...end)
                    }
                    try? await child.standardInputWriter.finish()
                    await group.waitForAll()
                }
            }
        } catch {
            if !Task.isCancelled { return Silence(why: "ssh can't be run: \(error)") }
        }
        if Task.isCancelled { return Silence(why: "gave no answer within \(patience)") }
        let said = last.text.withLock { $0 }
        return Silence(why: "gave no answer (\(said.isEmpty ? "no words" : said))")
    }

    /// What the other side wrote last.
    private final class LastLine: Sendable {
        let text = Mutex("")
    }

    private static func remember(_ stream: SubprocessOutputSequence, in last: LastLine) async {
        var splitter = LineSplitter()
        do {
            for try await buffer in stream {
                for line in buffer.withUnsafeBytes({ splitter.append($0) }) { last.text.withLock { $0 = line } }
            }
        } catch {}
        if let line = splitter.finish() { last.text.withLock { $0 = line } }
    }

    private static func reply(_ line: Data) -> Result<HostReply, Silence> {
        do {
            return .success(try JSONDecoder().decode(HostReply.self, from: line))
        } catch {
            let version = (try? JSONDecoder().decode(Version.self, from: line))?.version
            return .failure(
                Silence(
                    why: version.map { "has another version of the program, \($0)" }
                        ?? "gave an answer that can't be read"))
        }
    }

    private struct Version: Decodable { var version: String }
}
