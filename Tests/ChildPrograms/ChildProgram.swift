// A program that a test starts, its three streams in pipes.
//
// Foundation's `Process` is not used: it lists this process's open descriptors to close them in the child, and reads past
// the end of that list once it fills its buffer. Tests of crowds hold over a thousand.

public import Foundation
import Synchronization

/// A started program, in a process group of its own.
public final class ChildProgram: Sendable {
    /// How a process ended.
    public enum End: Equatable, Sendable {
        case exit(Int32)
        /// It did not end by itself: it crashed or was killed.
        case signal(Int32)
    }

    /// Why a program was not started.
    public struct NotStarted: Error, CustomStringConvertible {
        var path: String
        var status: Int32
        public var description: String { "\(path): \(String(cString: strerror(status)))" }
    }

    /// Its number, and that of its process group.
    public let pid: pid_t
    /// Where its standard input is written; closed by whoever is done with it.
    public let input: FileHandle
    /// Where its standard output is read.
    public let output: FileHandle
    /// Where its standard error is read.
    public let log: FileHandle

    /// Of glibc 2.34; its header hides it from Swift.
    private typealias CloseFrom =
        @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32

    private let state: State
    private let ending = DispatchGroup()

    private final class State: Sendable {
        let end = Mutex<End?>(nil)
    }

    /// - Parameters:
    ///   - path: Of the program.
    ///   - environment: Comes on top of this process's own.
    /// - Throws: ``NotStarted``, with what the system answered.
    public init(_ path: String, _ arguments: [String] = [], environment: [String: String] = [:]) throws {
        let (input, output, log) = (Pipe(), Pipe(), Pipe())
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let streams = [
            (input.fileHandleForReading, STDIN_FILENO), (output.fileHandleForWriting, STDOUT_FILENO),
            (log.fileHandleForWriting, STDERR_FILENO),
        ]
        for (handle, number) in streams {
            posix_spawn_file_actions_adddup2(&actions, handle.fileDescriptor, number)
        }
        // Nothing else of this process: a pipe that another child is to see ended must have no holder there.
        guard let name = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np") else {
            throw NotStarted(path: path, status: ENOSYS)
        }
        _ = unsafeBitCast(name, to: CloseFrom.self)(&actions, STDERR_FILENO + 1)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        var defaults = none
        // Networking in this process ignores it.
        sigaddset(&defaults, SIGPIPE)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))

        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0)=\($1)" }
        let words = ([path] + arguments).map { strdup($0) } + [nil]
        let settings = variables.map { strdup($0) } + [nil]
        defer { for text in words + settings { free(text) } }
        var number: pid_t = 0
        let status = posix_spawn(&number, path, &actions, &attributes, words, settings)
        // The child's ends, so that its end is seen here.
        for (handle, _) in streams { try handle.close() }
        guard status == 0 else { throw NotStarted(path: path, status: status) }

        let pid = number
        self.pid = pid
        self.input = input.fileHandleForWriting
        self.output = output.fileHandleForReading
        self.log = log.fileHandleForReading
        let state = State()
        self.state = state
        ending.enter()
        Thread.detachNewThread { [ending] in
            var information = siginfo_t()
            // It stays a zombie, and its number its own, until `kill` knows.
            while waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT) == -1, errno == EINTR {}
            state.end.withLock { end in
                var status: Int32 = 0
                while waitpid(pid, &status, 0) == -1, errno == EINTR {}
                end = status & 0x7f == 0 ? .exit(status >> 8 & 0xff) : .signal(status & 0x7f)
            }
            ending.leave()
        }
    }

    /// Its end, once it is known.
    public var known: End? { state.end.withLock { $0 } }

    /// Sends a signal, unless the process has ended.
    public func kill(_ signal: Int32) {
        state.end.withLock { end in
            if end == nil { _ = Foundation.kill(pid, signal) }
        }
    }

    /// Waits until it has ended; not to be cancelled.
    public func end() async -> End {
        await withCheckedContinuation { done in
            ending.notify(queue: .global()) { done.resume() }
        }
        return reached
    }

    private var reached: End {
        guard let end = known else { preconditionFailure("the end is set before it is told") }
        return end
    }

    /// Closes its input and reads all it prints, until it has ended.
    public func finish() async throws -> (end: End, output: String, log: String) {
        try input.close()
        async let output = Self.text(output)
        async let log = Self.text(log)
        return (await end(), await output, await log)
    }

    /// On a thread of its own: a reader waits as long as the child likes.
    private static func text(_ handle: FileHandle) async -> String {
        await withCheckedContinuation { done in
            Thread.detachNewThread {
                done.resume(returning: String(decoding: (try? handle.readToEnd()) ?? Data(), as: UTF8.self))
            }
        }
    }
}
