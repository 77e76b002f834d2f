// A topology as Kubernetes manifests and a Kustomize base.

/// A Deployment for the coordinator; a StatefulSet each for a pipeline, the speculators and the spares, whose pods' ordinals
/// are the stages; and what keeps them apart, whole and reachable.
struct KubernetesRendering {
    private let topology: Topology
    private let plan: LaunchPlan
    private let name: String
    private let options: RenderOptions

    /// Where the volume with the models is mounted; it stands for the topology file's folder.
    private static let models = "/models"

    init(_ topology: Topology, _ options: RenderOptions) throws(RenderError) {
        guard topology.coordinator.allowPlaintext, topology.workerPlaces.allSatisfy(\.allowPlaintext) else {
            throw RenderError(
                description:
                    "links between pods cross the network and are not encrypted yet: write `allow_plaintext: true` "
                    + "at the coordinator and every worker, if you trust it")
        }
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
        plan = LaunchPlan(topology: there, executable: "winnow")
        let groups = there.pipelines.map { Rendering.plainName($0.name) }
        guard Set(groups).count == groups.count else {
            throw RenderError(
                description:
                    "two pipelines would be called alike in Kubernetes, which knows small letters, digits and `-` "
                    + "only; rename one of \(there.pipelines.map(\.name).joined(separator: ", "))")
        }
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

    func files() throws(RenderError) -> [RenderedFile] {
        let workers = plan.workers(coordinatorAt: "tcp://\(name)-coordinator:\(Topology.coordinatorPort)")
        var groups: [Group] = []
        var rest = workers[...]
        func take(_ group: String, _ places: [Topology.WorkerPlace]) {
            guard !places.isEmpty else { return }
            groups.append(
                Group(
                    name: group, processes: Array(rest.prefix(places.count)),
                    threads: places.map { $0.threads ?? 1 }.max() ?? 1))
            rest = rest.dropFirst(places.count)
        }
        for pipeline in topology.pipelines { take("pipeline-\(Rendering.plainName(pipeline.name))", pipeline.stages) }
        take("speculators", topology.speculators)
        take("spares", topology.spares)
        let resources =
            ["coordinator.yaml"] + groups.map { "\($0.name).yaml" } + ["disruption.yaml", "network-policy.yaml"]
        return [
            RenderedFile(path: "base/kustomization.yaml", text: kustomization(resources)),
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
    private struct Group {
        var name: String
        var processes: [ProcessPlan]
        var threads: Int
    }

    // MARK: Files

    private func kustomization(_ resources: [String]) -> String {
        """
        # \(topology.name). Written by `winnow launch --render kubernetes`; changes belong in an overlay that names this base.
        apiVersion: kustomize.config.k8s.io/v1beta1
        kind: Kustomization
        resources:
        \(resources.map { "  - \($0)" }.joined(separator: "\n"))

        """
    }

    private func coordinator() -> String {
        let port = topology.coordinator.httpPort
        let arguments = plan.coordinator.arguments.unattended.map(Self.literal) + ["--advertise", "$(POD_IP)"]
        let live = Self.get("/health/live", port: port)
        return """
            apiVersion: apps/v1
            kind: Deployment
            metadata:
            \(metadata("coordinator", at: "  "))
            spec:
              replicas: 1
              # Two at a time would share the workers.
              strategy: {type: Recreate}
              selector:
                matchLabels: \(selector("coordinator"))
              template:
                metadata:
                  labels: \(labels("coordinator"))
                spec:
            \(pod(grace: Int(plan.drainTime.components.seconds) + 15, group: "coordinator"))
                  containers:
                    - name: coordinator
            \(container(arguments, threads: topology.coordinator.threads ?? 1))
                      ports:
                        - {name: http, containerPort: \(port)}
                        - {name: register, containerPort: \(Topology.coordinatorPort)}
                        - {name: results, containerPort: \(Topology.coordinatorPort + 1)}
                      startupProbe: {\(live), periodSeconds: 5, failureThreshold: 120}
                      livenessProbe: {\(live), periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
                      readinessProbe: {\(Self.get("/health/ready", port: port)), periodSeconds: 2, timeoutSeconds: 5}
            ---
            # Clients: the coordinator while it serves.
            apiVersion: v1
            kind: Service
            metadata:
            \(metadata(nil, at: "  "))
            spec:
              selector: \(selector("coordinator"))
              ipFamilyPolicy: PreferDualStack
              ports:
                - {name: http, port: \(port), targetPort: http}
            ---
            # Workers: the coordinator before it serves too, for it is they that make it serve.
            apiVersion: v1
            kind: Service
            metadata:
            \(metadata("coordinator", at: "  "))
            spec:
              clusterIP: None
              publishNotReadyAddresses: true
              selector: \(selector("coordinator"))
              ports:
                - {name: register, port: \(Topology.coordinatorPort), targetPort: register}
                - {name: results, port: \(Topology.coordinatorPort + 1), targetPort: results}

            """
    }

    private func statefulSet(_ group: Group) -> String {
        let probe = "tcpSocket: {port: data}"
        return """
            # The pods' ordinals are the stages: \(name)-\(group.name)-0 is the first.
            apiVersion: apps/v1
            kind: StatefulSet
            metadata:
            \(metadata(group.name, at: "  "))
            spec:
              serviceName: \(name)-\(group.name)
              replicas: \(group.processes.count)
              podManagementPolicy: Parallel
              selector:
                matchLabels: \(selector(group.name))
              template:
                metadata:
                  labels: \(labels(group.name))
                spec:
            \(pod(grace: 30, group: group.name))
                  containers:
                    - name: worker
            \(container(group))
                      ports:
                        - {name: data, containerPort: \(Topology.workerPort)}
                      startupProbe: {\(probe), periodSeconds: 5, failureThreshold: 120}
                      livenessProbe: {\(probe), periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
                      readinessProbe: {\(probe), periodSeconds: 5}
            ---
            apiVersion: v1
            kind: Service
            metadata:
            \(metadata(group.name, at: "  "))
            spec:
              clusterIP: None
              publishNotReadyAddresses: true
              selector: \(selector(group.name))
              ports:
                - {name: data, port: \(Topology.workerPort), targetPort: data}

            """
    }

    private func disruptionBudget(_ group: String) -> String {
        """
        apiVersion: policy/v1
        kind: PodDisruptionBudget
        metadata:
        \(metadata(group, at: "  "))
        spec:
          # One after the other: what a pod takes with it goes on elsewhere, or waits for its return.
          maxUnavailable: 1
          selector:
            matchLabels: \(selector(group))

        """
    }

    private func networkPolicy() -> String {
        let own = "{podSelector: {matchLabels: \(instance)}}"
        return """
            # Clients reach the HTTP port, from anywhere; narrow that in an overlay. All else is for pods of this cluster.
            apiVersion: networking.k8s.io/v1
            kind: NetworkPolicy
            metadata:
            \(metadata(nil, at: "  "))
            spec:
              podSelector:
                matchLabels: \(instance)
              policyTypes: [Ingress, Egress]
              ingress:
                - from: [\(own)]
                - ports: [{port: \(topology.coordinator.httpPort), protocol: TCP}]
              egress:
                - to: [\(own)]
                - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]

            """
    }

    private var monitoring: String {
        """
        # For clusters with the Prometheus operator: an overlay adds it with `components: [../monitoring]`.
        apiVersion: kustomize.config.k8s.io/v1alpha1
        kind: Component
        resources:
          - pod-monitor.yaml

        """
    }

    private func podMonitor() -> String {
        """
        apiVersion: monitoring.coreos.com/v1
        kind: PodMonitor
        metadata:
        \(metadata("coordinator", at: "  "))
        spec:
          selector:
            matchLabels: \(selector("coordinator"))
          podMetricsEndpoints:
            - {port: http, path: /metrics, interval: 15s}

        """
    }

    // MARK: Parts

    private var instance: String { "{app.kubernetes.io/name: winnow, app.kubernetes.io/instance: \(name)}" }

    private func selector(_ group: String) -> String {
        "{app.kubernetes.io/name: winnow, app.kubernetes.io/instance: \(name), app.kubernetes.io/component: \(group)}"
    }

    private func labels(_ group: String) -> String { selector(group) }

    private func metadata(_ group: String?, at indent: String) -> String {
        let labels = group.map(selector) ?? instance
        return
            "\(indent)name: \(([name] + (group.map { [$0] } ?? [])).joined(separator: "-"))\n\(indent)labels: \(labels)"
    }

    /// Pods of a group on hosts of their own where there are enough; nobody's rights.
    private func pod(grace: Int, group: String) -> String {
        """
              terminationGracePeriodSeconds: \(grace)
              automountServiceAccountToken: false
              enableServiceLinks: false
              securityContext:
                runAsNonRoot: true
                runAsUser: 65532
                runAsGroup: 65532
                fsGroup: 65532
                fsGroupChangePolicy: OnRootMismatch
                seccompProfile: {type: RuntimeDefault}
              affinity:
                podAntiAffinity:
                  preferredDuringSchedulingIgnoredDuringExecution:
                    - weight: 100
                      podAffinityTerm:
                        topologyKey: kubernetes.io/hostname
                        labelSelector:
                          matchLabels: \(selector(group))
                    - weight: 50
                      podAffinityTerm:
                        topologyKey: kubernetes.io/hostname
                        labelSelector:
                          matchLabels: \(instance)
              volumes:
                - name: models
                  persistentVolumeClaim: {claimName: \(name)-models, readOnly: true}
                - name: tmp
                  emptyDir: {}
        """
    }

    private func container(_ arguments: [String], threads: Int, script: String? = nil) -> String {
        let start =
            script.map { "          command: [/bin/sh, -c, \(Self.text($0)), winnow]\n" }
            ?? "          command: [winnow]\n"
        let environment =
            [
                "            - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}",
                "            - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}",
            ]
            + topology.environment.sorted { $0.key < $1.key }.map {
                "            - {name: \(Self.text($0.key)), value: \(Self.text(Self.literal($0.value)))}"
            }
        return """
                      image: \(Self.text(options.image))
            \(start)          args:
            \(arguments.map { "            - \(Self.text($0))" }.joined(separator: "\n"))
                      env:
            \(environment.joined(separator: "\n"))
                      resources:
                        requests: {cpu: "\(threads)", memory: \(Self.text(options.memory))}
                        limits: {cpu: "\(threads)", memory: \(Self.text(options.memory))}
                      securityContext:
                        allowPrivilegeEscalation: false
                        readOnlyRootFilesystem: true
                        capabilities: {drop: [ALL]}
                      volumeMounts:
                        - {name: models, mountPath: \(Self.models), readOnly: true}
                        - {name: tmp, mountPath: /tmp}
            """
    }

    /// Where the stages differ a shell adds what is each one's own, by the pod's ordinal.
    private func container(_ group: Group) -> String {
        let each = group.processes.map { process in
            process.arguments.unattended.without("--name").map(Self.literal)
        }
        let own = ["--name", "$(POD_NAME)", "--advertise", "$(POD_IP)"]
        guard let first = each.first, each.contains(where: { $0 != first }) else {
            return container((each.first ?? []) + own, threads: group.threads)
        }
        let cases = each.enumerated().map { ordinal, words in
            "\(ordinal)) set -- \"$@\" \(words.dropFirst().map(ShellWord.quoted).joined(separator: " "));;"
        }
        let script = "case ${POD_NAME##*-} in \(cases.joined(separator: " ")) esac; exec winnow \"$@\""
        return container(["worker"] + own, threads: group.threads, script: script)
    }

    private static func get(_ path: String, port: Int) -> String { "httpGet: {path: \(path), port: http}" }

    /// A word that Kubernetes leaves as it is: `$(` begins a variable.
    private static func literal(_ word: String) -> String { word.replacing("$(", with: "$$(") }

    /// A YAML value in double quotes where it could be read as something else.
    private static func text(_ value: String) -> String {
        var quoted = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let digits = String(scalar.value, radix: 16, uppercase: true)
                quoted += "\\x" + (digits.count == 1 ? "0" : "") + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return "\"\(quoted)\""
    }
}
