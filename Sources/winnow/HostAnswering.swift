// What this host answers to `winnow check`: read from the system and the models' files, no weight loaded.

import Checkpoint
import Compute
import Foundation
import Launcher
import Layers
import Synchronization
import Tokenizer
import Wire

/// Answers one request after the other; what it listens at ends with it.
final class HostAnswering: Sendable {
    private let probe = Mutex<PortProbe?>(nil)

    /// Waits for files and sockets, for seconds.
    private func reply(to request: HostRequest) -> HostReply {
        var reply = HostReply()
        reply.version = WinnowVersion.text
        if let question = request.facts { reply.facts = HostFacts(answering: question) }
        if let endpoints = request.listen {
            let listeners = PortProbe(endpoints, word: request.word ?? "")
            reply.listening = listeners.endpoints
            probe.withLock { $0 = listeners }
        }
        if let endpoints = request.connect { reply.unreached = PortProbe.unreached(endpoints) }
        return reply
    }

    /// The answer of this machine, worked out on a thread of its own.
    func answer(_ request: HostRequest) async -> HostReply {
        await withCheckedContinuation { done in
            Thread.detachNewThread { done.resume(returning: self.reply(to: request)) }
        }
    }

    /// The far side of a check: answers lines of standard input until it ends.
    ///
    /// - Throws: for a line that is no request, or too long.
    func answerInput() async throws {
        try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
            Thread.detachNewThread { done.resume(with: Result { try self.readInput() }) }
        }
    }

    private func readInput() throws {
        var line: [UInt8] = []
        while case let bytes = FileHandle.standardInput.availableData, !bytes.isEmpty {
            for byte in bytes {
                guard byte == UInt8(ascii: "\n") else {
                    line.append(byte)
                    guard line.count <= 1 << 20 else { throw CocoaError(.fileReadTooLarge) }
                    continue
                }
                let request = try JSONDecoder().decode(HostRequest.self, from: Data(line))
                Console.say(String(decoding: try JSONEncoder().encode(reply(to: request)), as: UTF8.self))
                Console.flush()
                line = []
            }
        }
    }
}

extension HostFacts {
    /// The answer of this machine to `question`.
    init(answering question: HostQuestion) {
        self.init()
        version = WinnowVersion.text
        cpuLevels = CPULevel.possible.map(\.rawValue)
        cpus = HostCPUs.available()
        let limits = ProcessLimits.current()
        cpuQuota = limits.cpuQuota?.value
        quotaFile = limits.cpuQuota?.file
        memory = limits.memory
        if let group = limits.groupMemory, group.value == limits.memory { memoryFile = group.file }
        openFiles = limits.openFiles
        for (name, precision) in [("auto", Precision.automatic), ("f32", .f32), ("bf16", .bf16), ("int8", .int8)] {
            products[name] = "\(precision.kernel) at level \(CPULevel.inUse.rawValue)"
            slowProducts[name] = precision.kernelProblem
        }
        for path in question.models {
            models[path] = Model(path: path, withTokenizer: question.tokenizers.contains(path))
        }
        for endpoint in question.endpoints { busyEndpoints[endpoint] = PortProbe.problem(ofBinding: endpoint) }
        for folder in question.caches { caches[folder] = Cache(folder) }
        clock = Date().timeIntervalSince1970
    }
}

extension HostFacts.Cache {
    /// - Parameter folder: Empty: the default one.
    fileprivate init(_ folder: String) {
        self.init()
        let usual = WeightsCache.defaultDirectory(environment: ProcessInfo.processInfo.environment)
        guard let folder = folder.isEmpty ? usual : folder else {
            (path, problem) = ("the default folder", "neither $XDG_CACHE_HOME nor $HOME says where it is")
            return
        }
        path = folder
        // What is missing of it is made: the nearest that is there decides.
        var place = folder
        while access(place, F_OK) != 0, errno == ENOENT, place != "/", !place.isEmpty {
            place = (place as NSString).deletingLastPathComponent
        }
        if place.isEmpty { place = "." }
        if access(place, W_OK | X_OK) != 0 {
            problem = "\(place) can't be written: \(String(cString: strerror(errno)))"
        }
        var status = statvfs()
        if statvfs(place, &status) == 0 { free = Int(clamping: UInt(status.f_bavail) * UInt(status.f_frsize)) }
    }
}

extension HostFacts.Model {
    fileprivate init(path: String, withTokenizer: Bool) {
        self.init()
        do {
            let checkpoint = try Checkpoint(path: path)
            fingerprint = try checkpoint.fingerprint().bytes.map {
                String($0 >> 4, radix: 16) + String($0 & 15, radix: 16)
            }
            .joined()
            let shape = checkpoint.configuration
            layerCount = shape.layerCount
            if checkpoint.heldLayers != shape.allLayers { held = checkpoint.heldLayers.description }
            cacheValues = 2 * shape.kvHeadCount * shape.headDim
            outerParameters = shape.vocabularySize * shape.hiddenSize * (shape.tiedEmbeddings ? 1 : 2)
            layerParameters = max(0, checkpoint.wholeParameterCount - outerParameters)
            if withTokenizer { tokenizer = try Tokenizer(modelPath: path).fingerprint }
        } catch {
            problem = "\(error)"
        }
    }
}
