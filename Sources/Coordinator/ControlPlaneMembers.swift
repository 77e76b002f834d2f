// What workers report, and what each of them is told.

import Layers
import Logging
import OutsideText
package import Wire

extension ControlPlane {
    package mutating func hear(_ report: Report, from peer: PeerID, key: PublicKey? = nil, now: Instant) {
        guard !isStopped else { return }
        // Whoever calls itself what another one is called is not answered either: the answer would reach the other.
        if let member = membership[peer], member.key != key { return }
        do throws(Membership.Refused) {
            // Whose key was revoked may still be connected.
            try checkKey(key, role: report.role, name: membership[peer]?.profile.name)
            let (before, role) = (self, report.role)
            switch try membership.hear(
                report, from: peer, key: key, now: now,
                check: { profile throws(Membership.Refused) in try before.check(profile, role: role, key: key) })
            {
            case .unknown, .full: break
            case .known: judge(peer, now: now)
            case .joined(let replaced):
                for old in replaced { lose(old, why: "came back anew", now: now) }
            }
        } catch {
            tellOfRefusal(error, peer)
            directives.append(
                .tell(
                    peer,
                    Desired(
                        incarnation: settings.incarnation, knownProfile: report.profileHash, refusal: error.refusal,
                        reason: error.reason)))
            return
        }
        let strangers = membership.takeStrangers()
        if !strangers.isEmpty { directives.append(.record { $0.refused(strangers, at: .data) }) }
        if let number = line(of: peer), case .pipeline(let pipeline)? = lines[number]?.kind,
            let stage = lines[number]?.index(of: peer)
        {
            directives.append(.record { $0.kvRowsUsed(pipeline: pipeline, stage: stage, rows: report.kvRowsUsed) })
        }
        reconcile(now: now)
        directives.append(.tell(peer, desired(peer)))
    }

    /// Once for each peer and reason, however often it asks.
    private mutating func tellOfRefusal(_ refused: Membership.Refused, _ peer: PeerID) {
        guard refusedPeers[peer] != refused else { return }
        if refusedPeers.count >= 256 { refusedPeers = [:] }
        refusedPeers[peer] = refused
        directives.append(.log(.warning, "refused a worker", ["reason": refused.reason]))
        guard refused.refusal == .notAllowed else { return }
        directives.append(
            .record { metrics in
                var refusals = Refusals()
                refusals.add(.misplaced, refused.reason)
                metrics.refused(refusals, at: .control)
            })
    }

    /// A control message that can't be read.
    package mutating func misheard(_ error: MessageError, from peer: PeerID?, now: Instant) {
        if let count = misheardLines.admit(now: now) {
            directives.append(
                .log(.warning, "dropped a control message", ["error": "\(error)", "count": "\(count)"]))
        }
        guard let peer else { return }
        directives.append(
            .tell(
                peer,
                Desired(incarnation: settings.incarnation, refusal: .badMessage, reason: "\(error)")))
    }

    /// Whether a worker's connection took the last message to it.
    package mutating func reached(_ peer: PeerID, _ isReached: Bool, now: Instant) {
        membership.reached(peer, isReached, now: now)
    }

    mutating func judge(_ peer: PeerID, now: Instant) {
        guard let number = line(of: peer), let index = lines[number]?.index(of: peer) else { return }
        let reports = reports(of: number)
        // What is on its way over a slow link is not lost: a second, and the time of a full message at 4 MB/s.
        let loss = Duration.seconds(1) + .seconds(Double(settings.microBatchRows * settings.rowBytes) / 4e6)
        if let reason = lines[number]?.judge(index, reports: reports, now: now, lossLimit: loss) {
            fell(number, reason: reason, now: now)
        }
    }

    mutating func lose(_ peer: PeerID, why: String, now: Instant) {
        guard let number = line(of: peer), let line = lines[number], let index = line.index(of: peer) else { return }
        fell(number, reason: "worker \(line.slots[index].name) \(why)", now: now)
    }

    func line(of peer: PeerID) -> Int? { lines.first { $0.value.index(of: peer) != nil }?.key }

    func reports(of number: Int) -> [Report?] { lines[number]?.slots.map { membership[$0.peer]?.report } ?? [] }

    /// What a worker should have.
    package func desired(_ peer: PeerID) -> Desired {
        var desired = Desired(incarnation: settings.incarnation)
        // A coordinator that ends holds nobody back.
        desired.mayLeave = isStopped
        guard let member = membership[peer], !isStopped else { return desired }
        desired.knownProfile = member.report.profileHash
        guard let number = line(of: peer), let line = lines[number], let index = line.index(of: peer) else {
            desired.preload = preloads[peer]
            desired.mayLeave = member.report.isLeaving
            return desired
        }
        let slot = line.slots[index]
        let next = index + 1 < line.slots.count ? line.slots[index + 1] : nil
        desired.assignment = Assignment(
            epoch: line.epoch, stage: index, stageCount: line.slots.count, layers: slot.layers,
            nextEndpoint: next?.dataEndpoint ?? settings.resultsEndpoint,
            nextKey: next == nil ? settings.ownKey : next?.data.key,
            previous: index == 0
                ? Guest(settings.dataPeer, key: settings.ownKey) : line.slots[index - 1].data,
            maxRows: settings.microBatchRows, maxInFlight: maxInFlight(line.slots.count), kvRows: line.kvRows,
            wireType: settings.wireType)
        return desired
    }

    /// One micro-batch for each stage, and one on the way.
    func maxInFlight(_ stages: Int) -> Int { stages + 1 }
}
