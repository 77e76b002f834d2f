// What a worker is told, in the words of the modules below.

package import Compute
package import Layers
package import Logging
package import Wire

/// A worker's settings, read and understood: what `WorkerConfiguration` comes to.
package struct WorkerPlan: Sendable {
    /// What the worker is for.
    package var role: WorkerRole
    /// The model's directory or GGUF file: the coordinator's main model for a stage, its speculator for a speculator.
    package var modelDirectory: String
    /// The coordinator's control endpoint.
    package var coordinator: Endpoint
    /// Where the stage before this one connects; port 0 takes a free one.
    package var listen: Endpoint
    /// The host name under which other machines reach `listen`; needed when it is a wildcard.
    package var advertisedHost: String?
    /// The layers to hold, if not the coordinator's choice.
    package var layers: LayerSpan?
    /// Measure how fast this host multiplies, so that the coordinator gives it layers accordingly.
    package var measuresSpeed: Bool
    /// The pipeline to serve, if not the coordinator's choice.
    package var pipeline: String?
    /// Compute threads, at least 1.
    package var threads: Int
    /// The CPUs that compute threads are kept on, `nil`: any.
    package var cpus: [Int]?
    /// The number formats to compute in. Stages of a pipeline may differ; the same request then gives other last digits.
    package var precision: Precision
    /// KV cache rows this host can hold over all requests; `nil`: what half of its free memory holds.
    package var kvRows: Int?
    /// The directory where packed weights are kept for the next start; `nil`: nowhere.
    package var weightsCache: String?
    /// For logs and error messages.
    package var name: String
    /// Its key, with its coordinator's: links are encrypted, and only the coordinator and neighbours it names may speak.
    /// `nil`: plain text.
    package var key: KeyFile?

    /// Endpoints that other machines reach, and whose links are plain text.
    var openEndpoints: [Endpoint] { key == nil ? [listen, coordinator].filter { !$0.isLocal } : [] }

    package init(
        modelDirectory: String, coordinator: Endpoint, listen: Endpoint, advertisedHost: String? = nil,
        role: WorkerRole = .stage, layers: LayerSpan? = nil, measuresSpeed: Bool = false, pipeline: String? = nil,
        threads: Int = 1,
        cpus: [Int]? = nil, precision: Precision = .automatic, kvRows: Int? = nil, weightsCache: String? = nil,
        name: String = "worker", key: KeyFile? = nil
    ) {
        self.role = role
        self.pipeline = pipeline
        self.modelDirectory = modelDirectory
        self.coordinator = coordinator
        self.listen = listen
        self.advertisedHost = advertisedHost
        self.layers = layers
        self.measuresSpeed = measuresSpeed
        self.threads = threads
        self.cpus = cpus
        self.precision = precision
        self.kvRows = kvRows
        self.weightsCache = weightsCache
        self.name = name
        self.key = key
    }
}

extension WorkerPlan {
    /// What can be done of it within `limits`, which are logged: threads beyond the CPU quota would all stand still together
    /// whenever it is used up.
    package func within(_ limits: ProcessLimits, _ logger: Logger) -> WorkerPlan {
        var plan = self
        plan.threads = limits.threads(of: threads)
        if let quota = limits.cpuQuota {
            let facts: Logger.Metadata = [
                "cpus": "\(quota.value)", "limit": "\(quota.file)", "threads": "\(plan.threads)",
                "wanted": "\(threads)",
            ]
            if plan.threads < threads {
                logger.warning("fewer threads than asked for: the cgroup grants less CPU time", metadata: facts)
            } else {
                logger.info("planning within the cgroup's CPU time", metadata: facts)
            }
        }
        if let memory = limits.groupMemory, memory.value < limits.hostMemory ?? .max {
            logger.info(
                "planning within the cgroup's memory",
                metadata: [
                    "available": "\(memory.value >> 20) MiB", "limit": "\(memory.file)",
                    "host": "\((limits.hostMemory ?? 0) >> 20) MiB",
                ])
        }
        return plan
    }

    /// Throws unless the model has the layers asked for.
    package func check(layerCount: Int) throws(WorkerError) {
        guard let layers else { return }
        guard layers.isWithin(layerCount: layerCount) else {
            throw .badConfiguration(
                "layers",
                "\(layers) lie outside the model, which has layers \(LayerSpan(0..<layerCount))")
        }
    }
}
