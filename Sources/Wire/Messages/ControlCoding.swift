// Control messages to protobuf and back.

import Foundation
import Layers
import OutsideText

extension Winnow_Wire_V3_Epoch {
    init(_ epoch: Epoch) {
        self.init()
        incarnation = epoch.incarnation
        counter = epoch.counter
    }
}

extension Epoch {
    fileprivate init(_ message: Winnow_Wire_V3_Epoch) {
        self.init(incarnation: message.incarnation, counter: message.counter)
    }
}

extension Winnow_Wire_V3_Layers {
    fileprivate init(_ layers: LayerSpan?) {
        self.init()
        first = UInt32(clamping: layers?.bounds.lowerBound ?? 0)
        end = UInt32(clamping: layers?.bounds.upperBound ?? 0)
    }
}

/// No bytes are no key.
private func key(_ bytes: Data, _ field: String) throws(MessageError) -> PublicKey? {
    guard !bytes.isEmpty else { return nil }
    guard let key = PublicKey(bytes) else { throw MessageError(field, "\(bytes.count) bytes are no key") }
    return key
}

/// - Throws: `MessageError` when they are no range.
private func layers(_ message: Winnow_Wire_V3_Layers, _ field: String) throws(MessageError) -> LayerSpan? {
    let (first, end) = (message.first, message.end)
    guard first <= end, end <= 1 << 20 else {
        throw MessageError(field, "\(first)..<\(end) are no range")
    }
    let span = LayerSpan(bounds: Int(first)..<Int(end))
    return span.isEmpty ? nil : span
}

private func peer(_ bytes: Data, _ field: String) throws(MessageError) -> PeerID {
    guard let peer = PeerID(bytes) else { throw MessageError(field, "not the name of a peer: \(bytes.count) bytes") }
    return peer
}

/// An endpoint that a socket of ours may be connected to.
private func endpoint(_ text: String, _ field: String) throws(MessageError) -> String {
    guard let endpoint = try? Endpoint(text), endpoint.isConnectable else {
        throw MessageError(field, "nobody can connect to \"\(text.shown(upTo: 200))\"")
    }
    return endpoint.description
}

extension Winnow_Wire_V3_Profile {
    fileprivate init(_ profile: Profile) {
        self.init()
        name = profile.name
        fingerprint = Data(profile.fingerprint)
        model = profile.model
        layerCount = UInt32(clamping: profile.layerCount)
        dataEndpoint = profile.dataEndpoint
        dataPeer = Data(profile.dataPeer.bytes)
        layers = Winnow_Wire_V3_Layers(profile.layers)
        pipeline = profile.pipeline ?? ""
        kvRows = UInt64(clamping: profile.kvRows)
        threads = UInt32(clamping: profile.threads)
        arithmetic = profile.arithmetic
        speed = profile.speed
    }
}

extension Profile {
    /// What is repeated in logs and to other processes is cut and escaped here.
    fileprivate init(_ message: Winnow_Wire_V3_Profile) throws(MessageError) {
        guard message.fingerprint.count == 32 else {
            throw MessageError("profile.fingerprint", "expected 32 bytes, found \(message.fingerprint.count)")
        }
        guard message.speed.isFinite, message.speed >= 0 else {
            throw MessageError("profile.speed", "\(message.speed) is no speed")
        }
        self.init(
            name: message.name.shown(upTo: 100), fingerprint: Array(message.fingerprint),
            model: message.model.shown(upTo: 200), layerCount: Int(message.layerCount),
            dataEndpoint: try endpoint(message.dataEndpoint, "profile.data_endpoint"),
            dataPeer: try peer(message.dataPeer, "profile.data_peer"),
            layers: try Wire.layers(message.layers, "profile.layers"),
            pipeline: message.pipeline.isEmpty ? nil : message.pipeline.shown(upTo: 100),
            kvRows: Int(clamping: message.kvRows), threads: Int(message.threads),
            arithmetic: message.arithmetic.shown(upTo: 100), speed: message.speed)
    }
}

extension Winnow_Wire_V3_Report {
    init(_ report: Report) {
        self.init()
        incarnation = report.incarnation
        role = report.role == .stage ? .stage : .speculator
        profileHash = report.profileHash
        if let profile = report.profile { self.profile = Winnow_Wire_V3_Profile(profile) }
        if let epoch = report.epoch { self.epoch = Winnow_Wire_V3_Epoch(epoch) }
        loaded = Winnow_Wire_V3_Layers(report.loaded)
        loading = report.loading
        linked = report.isLinked
        fault = report.fault ?? ""
        received = report.received
        computed = report.computed
        sent = report.sent
        progress = report.progress
        busy = report.isBusy
        kvRowsUsed = UInt64(clamping: report.kvRowsUsed)
        requests = UInt32(clamping: report.requests)
        latenessMilliseconds = UInt32(clamping: Int64(max(.zero, report.lateness) / .milliseconds(1)))
        cpuWaitMilliseconds = UInt64(clamping: Int64(max(.zero, report.cpuWait) / .milliseconds(1)))
        leaving = report.isLeaving
        clockMicroseconds = report.clock
        refused = Refusals.Reason.allCases.compactMap { reason in
            report.refused[reason].map { Winnow_Wire_V3_Refused(reason, count: $0) }
        }
    }
}

extension Report {
    init(_ message: Winnow_Wire_V3_Report) throws(MessageError) {
        let role: WorkerRole
        switch message.role {
        case .stage: role = .stage
        case .speculator: role = .speculator
        case .UNRECOGNIZED(let code): throw MessageError("report.role", "\(code) is unknown")
        }
        guard message.profileHash != 0 else { throw MessageError("report.profile_hash", "missing") }
        self.init(
            incarnation: message.incarnation, role: role, profileHash: message.profileHash,
            profile: message.hasProfile ? try Profile(message.profile) : nil,
            epoch: message.hasEpoch ? Epoch(message.epoch) : nil, loaded: try layers(message.loaded, "report.loaded"),
            loading: message.loading.isFinite ? min(1, max(0, message.loading)) : 0, isLinked: message.linked,
            fault: message.fault.isEmpty ? nil : message.fault.shown(upTo: 1000), received: message.received,
            computed: message.computed, sent: message.sent, progress: message.progress, isBusy: message.busy,
            kvRowsUsed: Int(clamping: message.kvRowsUsed), requests: Int(message.requests),
            // A host that says it is hours late is not waited for: nobody's word makes it immortal.
            lateness: .milliseconds(min(Int(message.latenessMilliseconds), 60_000)),
            cpuWait: .milliseconds(Int64(clamping: min(message.cpuWaitMilliseconds, 1 << 50))),
            isLeaving: message.leaving, clock: message.clockMicroseconds,
            // A reason that a newer worker knows is left out.
            refused: message.refused.reduce(into: [:]) { counts, refused in
                guard refused.count > 0, let reason = Refusals.Reason(refused.reason) else { return }
                counts[reason] = Int(clamping: min(refused.count, 1 << 50))
            })
    }
}

extension Winnow_Wire_V3_Refused {
    fileprivate init(_ reason: Refusals.Reason, count: Int) {
        self.init()
        self.reason =
            switch reason {
            case .unknownKey: .unknownKey
            case .unknownName: .unknownName
            case .noKey: .noKey
            case .forged: .forged
            case .malformed: .malformed
            case .slow: .slow
            case .left: .left
            case .flood: .flood
            case .otherUser: .otherUser
            case .revoked: .revoked
            case .misplaced: .misplaced
            }
        self.count = UInt64(clamping: count)
    }
}

extension Refusals.Reason {
    fileprivate init?(_ reason: Winnow_Wire_V3_Refused.Reason) {
        switch reason {
        case .unknownKey: self = .unknownKey
        case .unknownName: self = .unknownName
        case .noKey: self = .noKey
        case .forged: self = .forged
        case .malformed: self = .malformed
        case .slow: self = .slow
        case .left: self = .left
        case .flood: self = .flood
        case .otherUser: self = .otherUser
        case .revoked: self = .revoked
        case .misplaced: self = .misplaced
        case .UNRECOGNIZED: return nil
        }
    }
}

extension Winnow_Wire_V3_Assignment {
    fileprivate init(_ assignment: Assignment) {
        self.init()
        epoch = Winnow_Wire_V3_Epoch(assignment.epoch)
        stage = UInt32(clamping: assignment.stage)
        stageCount = UInt32(clamping: assignment.stageCount)
        layers = Winnow_Wire_V3_Layers(assignment.layers)
        nextEndpoint = assignment.nextEndpoint
        previousPeer = Data(assignment.previous.peer.bytes)
        nextKey = Data(assignment.nextKey?.bytes ?? [])
        previousKey = Data(assignment.previous.key?.bytes ?? [])
        maxRows = UInt32(clamping: assignment.maxRows)
        maxInFlight = UInt32(clamping: assignment.maxInFlight)
        kvRows = UInt64(clamping: assignment.kvRows)
        rows = assignment.wireType == .f32 ? .float32 : .bfloat16
    }
}

extension Assignment {
    fileprivate init(_ message: Winnow_Wire_V3_Assignment) throws(MessageError) {
        guard let layers = try Wire.layers(message.layers, "assignment.layers") else {
            throw MessageError("assignment.layers", "none")
        }
        guard message.stage < message.stageCount, message.stageCount <= 4096 else {
            throw MessageError("assignment.stage", "\(message.stage) of \(message.stageCount)")
        }
        guard (1...UInt32(Protocol.maxRows)).contains(message.maxRows) else {
            throw MessageError("assignment.max_rows", "\(message.maxRows) is outside 1...\(Protocol.maxRows)")
        }
        guard (1...8192).contains(message.maxInFlight) else {
            throw MessageError("assignment.max_in_flight", "\(message.maxInFlight) is outside 1...8192")
        }
        guard message.kvRows <= UInt64(UInt32.max) else {
            throw MessageError("assignment.kv_rows", "\(message.kvRows) is above \(UInt32.max)")
        }
        let wireType: WireType
        switch message.rows {
        case .float32: wireType = .f32
        case .bfloat16: wireType = .bf16
        case .UNRECOGNIZED(let code): throw MessageError("assignment.rows", "\(code) is unknown")
        }
        self.init(
            epoch: Epoch(message.epoch), stage: Int(message.stage), stageCount: Int(message.stageCount), layers: layers,
            nextEndpoint: try endpoint(message.nextEndpoint, "assignment.next_endpoint"),
            nextKey: try key(message.nextKey, "assignment.next_key"),
            previous: Guest(
                try peer(message.previousPeer, "assignment.previous_peer"),
                key: try key(message.previousKey, "assignment.previous_key")), maxRows: Int(message.maxRows),
            maxInFlight: Int(message.maxInFlight), kvRows: Int(message.kvRows), wireType: wireType)
    }
}

extension Winnow_Wire_V3_Desired {
    init(_ desired: Desired) {
        self.init()
        incarnation = desired.incarnation
        knownProfile = desired.knownProfile
        if let assignment = desired.assignment { self.assignment = Winnow_Wire_V3_Assignment(assignment) }
        preload = Winnow_Wire_V3_Layers(desired.preload)
        leave = desired.mayLeave
        switch desired.refusal {
        case nil: refusal = .none
        case .otherWeights: refusal = .otherWeights
        case .badLayers: refusal = .badLayers
        case .badMessage: refusal = .badMessage
        case .otherPipeline: refusal = .otherPipeline
        case .notAllowed: refusal = .notAllowed
        }
        reason = desired.reason
    }
}

extension Desired {
    init(_ message: Winnow_Wire_V3_Desired) throws(MessageError) {
        let refusal: Refusal?
        switch message.refusal {
        case .none: refusal = nil
        case .otherWeights: refusal = .otherWeights
        case .badLayers: refusal = .badLayers
        case .badMessage: refusal = .badMessage
        case .otherPipeline: refusal = .otherPipeline
        case .notAllowed: refusal = .notAllowed
        case .UNRECOGNIZED(let code): throw MessageError("desired.refusal", "\(code) is unknown")
        }
        self.init(
            incarnation: message.incarnation, knownProfile: message.knownProfile,
            assignment: message.hasAssignment ? try Assignment(message.assignment) : nil,
            preload: try layers(message.preload, "desired.preload"), mayLeave: message.leave, refusal: refusal,
            reason: message.reason.shown(upTo: 1000))
    }
}
