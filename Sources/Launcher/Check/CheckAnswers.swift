// Asking the hosts of a topology: first of themselves, then whether they reach one another.

internal import Foundation

/// What the hosts answered.
public struct CheckAnswers: Sendable {
    /// By the host's name.
    public var hosts: [String: HostAnswer] = [:]
    /// For each host the endpoints of others that it did not reach, and why.
    public var unreached: [String: [String: String]] = [:]

    /// Nothing asked yet.
    public init() {}

    /// Asks every host of the check, all at once.
    ///
    /// - Parameter here: Answers for this machine, one question after the other.
    public static func of(
        _ check: Check, here: @escaping @Sendable (HostRequest) async -> HostReply
    ) async -> CheckAnswers {
        var answers = CheckAnswers()
        var talks: [String: Talk] = [:]
        for (name, ssh, _) in check.questions { talks[name] = ssh.map { .there(HostTalk($0)) } ?? .here(here) }

        let facts = await all(
            check.questions.map { question in
                var request = HostRequest()
                request.facts = question.question
                return (question.host, request)
            }, talks)
        for (host, reply) in facts {
            switch reply {
            case .success(let reply): answers.hosts[host] = reply.facts.map { .facts($0) } ?? .silence("did not answer")
            case .failure(let silence): answers.hosts[host] = .silence(silence.why)
            }
        }

        // Who did not answer is not asked again, and a port that is taken says nothing about the way to it.
        let crossings = check.crossings.filter { crossing in
            guard case .facts(let there) = answers.hosts[crossing.to], case .facts = answers.hosts[crossing.from] else {
                return false
            }
            return there.busyEndpoints[crossing.bound] == nil
        }
        guard !crossings.isEmpty else { return answers }
        let words = Dictionary(uniqueKeysWithValues: talks.keys.map { ($0, UUID().uuidString) })
        let listening = await all(
            Set(crossings.map(\.to)).map { host in
                var request = HostRequest()
                request.listen = Set(crossings.filter { $0.to == host }.map(\.bound)).sorted()
                request.word = words[host]
                return (host, request)
            }, talks
        ).compactMapValues { reply in try? reply.get().listening }
        let tried = await all(
            Set(crossings.map(\.from)).map { host in
                var request = HostRequest()
                let own = crossings.filter { $0.from == host && listening[$0.to]?.contains($0.bound) == true }
                request.connect = Dictionary(own.map { ($0.endpoint, words[$0.to] ?? "") }) { first, _ in first }
                return (host, request)
            }, talks)
        for (host, reply) in tried { answers.unreached[host] = (try? reply.get())?.unreached }
        // Listeners end with their talks, which must outlive the trying.
        withExtendedLifetime(talks) {}
        return answers
    }

    private enum Talk: Sendable {
        case here(@Sendable (HostRequest) async -> HostReply)
        case there(HostTalk)

        func ask(_ request: HostRequest) async -> Result<HostReply, HostTalk.Silence> {
            var reply: Result<HostReply, HostTalk.Silence> =
                switch self {
                case .here(let answer): .success(await answer(request))
                case .there(let talk): await talk.ask(request)
                }
            // A clock is compared when its time is heard, whoever else is still being waited for.
            if case .success(var heard) = reply, heard.facts != nil {
                heard.facts?.clock -= Date().timeIntervalSince1970
                reply = .success(heard)
            }
            return reply
        }
    }

    private static func all(
        _ requests: [(String, HostRequest)], _ talks: [String: Talk]
    ) async -> [String: Result<HostReply, HostTalk.Silence>] {
        await withTaskGroup(of: (String, Result<HostReply, HostTalk.Silence>).self) { group in
            for (host, request) in requests {
                guard let talk = talks[host] else { continue }
                group.addTask { (host, await talk.ask(request)) }
            }
            return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
    }
}
