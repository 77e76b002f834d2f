// What this host answers to `winnow check`: read from the system and the models' files, no weight loaded.

import Checkpoint
import Compute
import Foundation
import Launcher
import Tokenizer
import Wire

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
            slowProducts[name] = precision.kernelProblem
        }
        for path in question.models { models[path] = Model(path: path) }
        for endpoint in question.endpoints { busyEndpoints[endpoint] = Self.problem(ofBinding: endpoint) }
        clock = Date().timeIntervalSince1970
    }

    /// Why an endpoint can't be bound now; nil: it can.
    private static func problem(ofBinding text: String) -> String? {
        guard let endpoint = try? Endpoint(text), case .tcp(let host, let port) = endpoint.transport else { return nil }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE
        var found: UnsafeMutablePointer<addrinfo>?
        var name: String? = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        if host == "*" { name = nil }
        guard getaddrinfo(name, String(port), &hints, &found) == 0, let address = found else {
            return "no such host"
        }
        defer { freeaddrinfo(found) }
        let socket = socket(address.pointee.ai_family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return String(cString: strerror(errno)) }
        defer { close(socket) }
        var yes: Int32 = 1
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        // Only who listens stands in the way of a bind that may reuse an address.
        guard bind(socket, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0, listen(socket, 1) == 0 else {
            return String(cString: strerror(errno))
        }
        return nil
    }
}

extension HostFacts.Model {
    fileprivate init(path: String) {
        self.init()
        do {
            let checkpoint = try Checkpoint(path: path)
            fingerprint = try checkpoint.fingerprint().bytes.map {
                String($0 >> 4, radix: 16) + String($0 & 15, radix: 16)
            }
            .joined()
            let shape = checkpoint.configuration
            layerCount = shape.layerCount
            cacheValues = 2 * shape.kvHeadCount * shape.headDim
            outerParameters = shape.vocabularySize * shape.hiddenSize * (shape.tiedEmbeddings ? 1 : 2)
            layerParameters = max(0, checkpoint.parameterCount - outerParameters)
            tokenizer = try Tokenizer(modelPath: path).fingerprint
        } catch {
            problem = "\(error)"
        }
    }
}
