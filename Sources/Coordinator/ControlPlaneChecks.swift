// Who may take part: a worker's weights, layers and key against what is wanted.

import Layers
import Logging
package import Wire

extension ControlPlane {
    /// A stage must hold the main model's weights, a speculator the speculator's: those of the other would compute, and
    /// answer nonsense.
    func check(_ profile: Profile, role: WorkerRole, key: PublicKey?) throws(Membership.Refused) {
        try checkKey(key, role: role, name: profile.name)
        guard let wanted = role == .stage ? settings.fingerprint : settings.speculatorFingerprint else {
            throw Membership.Refused(
                .otherWeights, "the coordinator has no speculator: start it with --speculator PATH --speculator-workers"
            )
        }
        guard profile.fingerprint == wanted else {
            throw Membership.Refused(
                .otherWeights,
                "its model \"\(profile.model)\" has fingerprint \(Self.short(profile.fingerprint)), "
                    + "the coordinator's \(role == .stage ? "model" : "speculator") has \(Self.short(wanted)): "
                    + "give every \(role == .stage ? "worker" : "speculator") the same model directory")
        }
        if let name = profile.pipeline, !settings.pipelines.contains(where: { $0.name == name }) {
            let names = settings.pipelines.map(\.name).joined(separator: ", ")
            throw Membership.Refused(.otherPipeline, "there is no pipeline \"\(name)\"; there are: \(names)")
        }
        guard let wish = profile.layers else { return }
        guard wish.isWithin(layerCount: settings.layerCount) else {
            throw Membership.Refused(
                .badLayers,
                "layers \(wish) lie outside the model's \(LayerSpan(0..<settings.layerCount))")
        }
        // In the only pipeline there is, a wish that overlaps another one can never be served beside it; the same twice
        // makes a spare.
        guard settings.pipelines.count == 1 else { return }
        for member in membership.alive {
            guard let other = member.profile.layers, other != wish, other.overlaps(wish),
                member.profile.dataEndpoint != profile.dataEndpoint
            else { continue }
            throw Membership.Refused(
                .badLayers,
                "layers \(wish) overlap \(other) of worker \(member.profile.name)")
        }
    }

    /// A key is one worker of one role.
    func checkKey(_ key: PublicKey?, role: WorkerRole, name: String?) throws(Membership.Refused) {
        guard let allowed else { return }
        guard let entry = key.flatMap({ allowed[$0] }) else {
            throw Membership.Refused(.notAllowed, "its key is not on the coordinator's list")
        }
        guard entry.role == role else {
            throw Membership.Refused(
                .notAllowed, "its key is for a \(entry.role.rawValue), and it says it is a \(role.rawValue)")
        }
        guard let name, !entry.covers(name: name) else { return }
        throw Membership.Refused(
            .notAllowed, "its key is \(entry.name)'s, and it calls itself \(name): start it with --name \(entry.name)")
    }

    /// From now on these keys may join; whose key is not among them is lost at once.
    package mutating func allow(_ list: AllowList, now: Instant) {
        allowed = list
        for member in membership.all {
            do throws(Membership.Refused) {
                try checkKey(member.key, role: member.report.role, name: member.profile.name)
            } catch {
                directives.append(.log(.warning, "a worker may no longer take part", ["reason": error.reason]))
                lose(member.peer, why: "may no longer take part: \(error.reason)", now: now)
                membership.remove(member.peer)
            }
        }
        reconcile(now: now)
    }

    private static func short(_ fingerprint: [UInt8]) -> String {
        fingerprint.prefix(6).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
