// What `winnow hold` does about what it hears, without any process or clock.

/// The life of one held process: it runs while its launcher is heard, and is ended when it is not.
package struct HoldSession {
    package enum Event: Equatable {
        /// A line of standard input.
        case line([UInt8])
        /// Standard input has ended, or a line was too long.
        case inputEnded
        /// A signal to end has come.
        case signal
        /// A second has passed; how often the kernel has sent the connection's bytes again without an answer.
        case tick(retransmissions: Int)
        /// The process has ended with this exit status.
        case ended(Int32)
    }

    package enum Directive: Equatable {
        case start(HoldOrder)
        case terminate
        case kill
        /// Something for the launcher's log.
        case say(String)
        /// Nothing runs any more.
        case exit(Int32)
    }

    /// Seconds between SIGTERM and SIGKILL once the launcher is gone.
    package static let grace = 5

    private enum Phase: Equatable {
        case waiting
        case running
        /// The launcher is gone; seconds since SIGTERM.
        case ending(Int)
        case over
    }

    private var phase = Phase.waiting
    private var silence = 0

    /// No order has come yet.
    package init() {}

    package mutating func handle(_ event: Event) -> [Directive] {
        switch (event, phase) {
        case (.ended(let status), _):
            phase = .over
            return [.exit(status)]
        case (_, .over): return []
        case (.line(let line), .waiting):
            guard let order = HoldOrder(line: line) else {
                phase = .over
                return [.say("the first line of standard input is no order to hold a process"), .exit(64)]
            }
            phase = .running
            return [.start(order)]
        case (_, .waiting):
            if case .tick = event { return silent(0) }
            phase = .over
            return [.exit(0)]
        case (.line(let line), .running):
            silence = 0
            switch HoldWord(rawValue: String(decoding: line, as: UTF8.self)) {
            case .terminate: return [.terminate]
            case .kill: return [.kill]
            // What a later launcher may say is no reason to end anything.
            case .alive, nil: return []
            }
        case (.tick(let retransmissions), .running): return silent(retransmissions)
        case (.inputEnded, .running): return end("its launcher is gone")
        case (.signal, .running): return [.terminate]
        case (.tick, .ending(let seconds)):
            phase = .ending(seconds + 1)
            return seconds + 1 == Self.grace ? [.kill] : []
        case (.line, .ending), (.inputEnded, .ending), (.signal, .ending): return []
        }
    }

    /// Counted in seconds this process has lived through: one that was stopped for a while accuses nobody.
    private mutating func silent(_ retransmissions: Int) -> [Directive] {
        silence += 1
        if phase == .running, silence >= HoldWord.cutPatience, retransmissions >= HoldWord.cutRetransmissions {
            // Nobody is left to be asked for relief.
            return end("nothing was heard of its launcher for \(silence) s, and its host does not answer", grace: 2)
        }
        if phase == .running, silence == HoldWord.suspicion {
            return [.say("nothing was heard of the launcher for \(silence) s")]
        }
        guard silence >= HoldWord.patience else { return [] }
        guard phase == .running else {
            phase = .over
            return [.exit(75)]
        }
        return end("nothing was heard of its launcher for \(HoldWord.patience) s")
    }

    private mutating func end(_ why: String, grace: Int = grace) -> [Directive] {
        phase = .ending(Self.grace - grace)
        return [.say("ending the process: \(why)"), .terminate]
    }
}
