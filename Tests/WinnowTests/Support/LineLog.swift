// Lines of text as they come, for tasks that wait for one of them.

import Foundation
import Synchronization

/// The lines that a process or a server has written so far.
final class LineLog: Sendable {
    /// The lines ended before the awaited one came.
    struct Ended: Error, CustomStringConvertible {
        var what: String
        var lines: [String]
        var description: String { "ended without \(what); last lines:\n\(lines.suffix(20).joined(separator: "\n"))" }
    }

    private struct State {
        var lines: [String] = []
        var part = Data()
        var isClosed = false
        /// Lines before this one have been taken by `next`.
        var taken = 0
        var watchers: [Int: AsyncStream<Void>.Continuation] = [:]
        var watcherCount = 0
    }
    private let state = Mutex(State())

    /// Adds bytes; a line counts once its end is there.
    func append(_ bytes: Data) {
        let watchers = state.withLock { state in
            state.part.append(bytes)
            while let end = state.part.firstIndex(of: UInt8(ascii: "\n")) {
                state.lines.append(String(decoding: state.part[state.part.startIndex..<end], as: UTF8.self))
                state.part = Data(state.part[state.part.index(after: end)...])
            }
            return Array(state.watchers.values)
        }
        for watcher in watchers { watcher.yield() }
    }

    /// No more lines come; an unfinished one counts.
    func close() {
        let watchers = state.withLock { state in
            if !state.part.isEmpty { state.lines.append(String(decoding: state.part, as: UTF8.self)) }
            state.part = Data()
            state.isClosed = true
            return Array(state.watchers.values)
        }
        for watcher in watchers { watcher.yield() }
    }

    /// Everything written up to now.
    var soFar: [String] { state.withLock { $0.lines } }

    /// Everything, once there is no more to come.
    func all() async throws -> [String] {
        try await wait { $0.isClosed ? .some($0.lines) : nil } ?? []
    }

    /// Takes lines up to and with the next one that matches, and returns it. Throws `Ended` if there is none.
    func next(_ what: String, where matches: @escaping @Sendable (String) -> Bool) async throws -> String {
        let found: String? = try await wait { state in
            if let index = state.lines[state.taken...].firstIndex(where: matches) {
                state.taken = index + 1
                return .some(state.lines[index])
            }
            return state.isClosed ? .some(nil) : nil
        }
        guard let found else { throw Ended(what: what, lines: soFar) }
        return found
    }

    /// The first line of all that contains the text. Throws `Ended` if there is none.
    func line(containing text: String) async throws -> String {
        try await lines("\"\(text)\"", count: 1) { $0.contains(text) }[0]
    }

    /// The first `count` lines of all that match. Throws `Ended` if there are fewer.
    func lines(
        _ what: String, count: Int, where matches: @escaping @Sendable (String) -> Bool
    ) async throws -> [String] {
        let found: [String]? = try await wait { state in
            let found = state.lines.filter(matches).prefix(count)
            if found.count == count { return .some(Array(found)) }
            return state.isClosed ? .some(nil) : nil
        }
        guard let found else { throw Ended(what: "\(count) x \(what)", lines: soFar) }
        return found
    }

    /// Looks at the lines each time there are new ones, until `look` gives a value.
    private func wait<Value>(until look: (inout State) -> Value??) async throws -> Value? {
        let (changes, watcher) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let id = state.withLock { state in
            state.watcherCount += 1
            state.watchers[state.watcherCount] = watcher
            return state.watcherCount
        }
        defer { state.withLock { _ = $0.watchers.removeValue(forKey: id) } }
        watcher.yield()
        for await _ in changes {
            if let value = state.withLock({ look(&$0) }) { return value }
        }
        throw CancellationError()
    }
}

/// A value that comes once, for any number of tasks that wait for it.
final class Promise<Value: Sendable>: Sendable {
    private let state = Mutex<(value: Value?, waiting: [AsyncStream<Value>.Continuation])>((nil, []))

    /// Sets the value; a second one is ignored.
    func fulfil(_ value: Value) {
        let waiting = state.withLock { state in
            guard state.value == nil else { return [AsyncStream<Value>.Continuation]() }
            state.value = value
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.yield(value) }
    }

    var current: Value? { state.withLock { $0.value } }

    func value() async throws -> Value {
        let (stream, continuation) = AsyncStream.makeStream(of: Value.self)
        let ready = state.withLock { state in
            if state.value == nil { state.waiting.append(continuation) }
            return state.value
        }
        if let ready { return ready }
        for await value in stream { return value }
        throw CancellationError()
    }
}
