// A topology as Kubernetes manifests and a Kustomize base.

internal import Settings

/// A Deployment for the coordinator; a StatefulSet each for a pipeline, the speculators and the spares, whose pods' ordinals
/// are the stages; and what keeps them apart, whole and reachable.
struct KubernetesRendering {
    let topology: Topology
    let plan: LaunchPlan
    let name: String
    let options: RenderOptions
    let httpFiles: RenderedHTTPFiles

    /// Where the volume with the models is mounted; it stands for the topology file's folder.
    static let models = "/models"

    init(_ topology: Topology, _ options: RenderOptions) throws(RenderError) {
        try Rendering.checkLinks(of: topology, "pods")
        guard topology.coordinator.trace == nil else {
            throw RenderError(description: "a pod has no place for `trace`; remove it")
        }
        var there = topology
        there.hosts = [:]
        there.coordinator.host = "localhost"
        there.coordinator.listen = "tcp://*:\(Topology.coordinatorPort)"
        there.coordinator.results = nil
        there.coordinator.advertise = nil
        there.coordinator.cpus = nil
        there.coordinator.http = "*:\(topology.coordinator.httpPort)"
        try Self.checkProbes(of: topology)
        httpFiles = RenderedHTTPFiles(beside: topology)
        httpFiles.place(in: &there.coordinator)
        if let port = topology.coordinator.adminPort { there.coordinator.settings.set("admin", "*:\(port)") }
        there.model = try Self.path(topology.model, of: topology)
        if let speculator = topology.speculator { there.speculator = try Self.path(speculator, of: topology) }
        func pod(_ place: Topology.WorkerPlace) -> Topology.WorkerPlace {
            var place = place
            place.host = "localhost"
            place.listen = "tcp://*:\(Topology.workerPort)"
            place.advertise = nil
            place.cpus = nil
            return place
        }
        for index in there.pipelines.indices { there.pipelines[index].stages = there.pipelines[index].stages.map(pod) }
        there.spares = there.spares.map(pod)
        there.speculators = there.speculators.map(pod)
        self.topology = there
        self.options = options
        name = Rendering.plainName(topology.name)
        plan = Self.plan(there, name: name)
        let groups = there.pipelines.map { Rendering.plainName($0.name) }
        guard Set(groups).count == groups.count else {
            throw RenderError(
                description:
                    "two pipelines would be called alike in Kubernetes, which knows small letters, digits and `-` "
                    + "only; rename one of \(there.pipelines.map(\.name).joined(separator: ", "))")
        }
    }

    /// Probes that a pod would not answer.
    private static func checkProbes(of topology: Topology) throws(RenderError) {
        let settings = topology.coordinator.settings
        guard settings.isSaid("tls_client_ca"), !settings.isSaid("admin") else { return }
        throw RenderError(
            description:
                "probes show no certificate, which `tls_client_ca` asks for: add `coordinator.admin`, where none is needed"
        )
    }

    /// A model's path in a pod.
    private static func path(_ path: String, of topology: Topology) throws(RenderError) -> String {
        if path.hasPrefix(models + "/") { return path }
        let folder = topology.folder
        let relative =
            folder.isEmpty ? path : path.hasPrefix(folder + "/") ? String(path.dropFirst(folder.count + 1)) : path
        guard !relative.hasPrefix("/"), !relative.split(separator: "/").contains("..") else {
            throw RenderError(
                description:
                    "`\(path)` lies outside the topology file's folder, which the volume at \(models) stands for: "
                    + "write a path below it, or one below \(models)")
        }
        return "\(models)/\(relative)"
    }

    /// Workers are called as their pods are, and know their keys by where a pod has them.
    private static func plan(_ topology: Topology, name: String) -> LaunchPlan {
        var plan = LaunchPlan(topology: topology, executable: "winnow")
        var index = 0
        for (group, places) in groups(of: topology) {
            for ordinal in places.indices {
                plan.workers[index].name = "\(name)-\(group)-\(ordinal)"
                if topology.keys != .none { plan.workers[index].set("key", keyFile) }
                index += 1
            }
        }
        if topology.keys != .none { plan.coordinator.set("keys", keyFolder) }
        return plan
    }

    /// The StatefulSets with their workers, in the order of the plan's.
    private static func groups(of topology: Topology) -> [(name: String, places: [Topology.WorkerPlace])] {
        let pipelines = topology.pipelines.map { ("pipeline-\(Rendering.plainName($0.name))", $0.stages) }
        return (pipelines + [("speculators", topology.speculators), ("spares", topology.spares)])
            .filter { !$0.1.isEmpty }
    }

    var hasKeys: Bool { topology.keys != .none }

    /// Kustomize takes files of its own folder only.
    var keys: RenderedKeys? {
        let files = RenderedKeys.coordinatorFiles + plan.workers.map { RenderedKeys.file(of: $0.name) }
        return RenderedKeys(
            topology.keys, plan, usual: "base/keys",
            copies: files.map { RenderedKeys.Copy(name: $0, path: "base/keys/\($0)") })
    }

    /// Files of HTTP that Kustomize takes.
    var copies: [RenderedCopy] { httpFiles.copies(to: "base/http") }

    func files() throws(RenderError) -> [RenderedFile] {
        let workers = plan.workers(coordinatorAt: "tcp://\(name)-coordinator:\(Topology.coordinatorPort)")
        var rest = workers[...]
        let groups = Self.groups(of: topology).map { group, places in
            defer { rest = rest.dropFirst(places.count) }
            return Group(
                name: group, processes: Array(rest.prefix(places.count)),
                threads: places.map { $0.threads ?? 1 }.max() ?? 1)
        }
        let resources =
            ["coordinator.yaml"] + groups.map { "\($0.name).yaml" } + ["disruption.yaml", "network-policy.yaml"]
        return [
            RenderedFile(path: "base/kustomization.yaml", text: kustomization(resources, groups)),
            RenderedFile(path: "base/coordinator.yaml", text: coordinator()),
        ] + groups.map { RenderedFile(path: "base/\($0.name).yaml", text: statefulSet($0)) } + [
            RenderedFile(
                path: "base/disruption.yaml",
                text: (["coordinator"] + groups.map(\.name)).map(disruptionBudget).joined(separator: "---\n")),
            RenderedFile(path: "base/network-policy.yaml", text: networkPolicy()),
            RenderedFile(path: "monitoring/kustomization.yaml", text: monitoring),
            RenderedFile(path: "monitoring/pod-monitor.yaml", text: podMonitor()),
        ]
    }

    /// Workers that are one StatefulSet.
    struct Group {
        var name: String
        var processes: [ProcessPlan]
        var threads: Int
    }
}
