// A host asked over ssh: `ssh HOST winnow check --facts`, the question on its standard input.

internal import Foundation
internal import Subprocess
internal import SystemPackage

extension SSHHost {
    /// Longest answer taken, in bytes, and longest wait for it.
    private static let answerLimit = 1 << 20
    private static let patience = Duration.seconds(60)

    /// Asks the program there.
    public func answer(_ question: HostQuestion) async -> HostAnswer {
        let words = arguments("exec \(ShellWord.quoted(executable)) check --facts")
        return await withTaskGroup(of: HostAnswer.self) { group in
            group.addTask { await ask(words, question) }
            group.addTask {
                try? await Task.sleep(for: Self.patience)
                return .silence("gave no answer within \(Self.patience)")
            }
            let first = await group.next() ?? .silence("gave no answer")
            group.cancelAll()
            return first
        }
    }

    private func ask(_ words: [String], _ question: HostQuestion) async -> HostAnswer {
        do {
            let text = String(decoding: try JSONEncoder().encode(question), as: UTF8.self)
            let result = try await Subprocess.run(
                .name("ssh"), arguments: Arguments(words),
                input: .fileDescriptor(Descriptor.holding(text), closeAfterSpawningProcess: true),
                output: .string(limit: Self.answerLimit), error: .string(limit: 1 << 16))
            guard result.terminationStatus == .exited(0) else {
                let last = result.standardError.split(whereSeparator: \.isNewline).last.map(String.init) ?? "no words"
                return .silence("gave no answer (\(last))")
            }
            let facts = try JSONDecoder().decode(HostFacts.self, from: Data(result.standardOutput.utf8))
            return .facts(facts)
        } catch {
            return .silence("gave no answer that can be read (\(error))")
        }
    }
}
