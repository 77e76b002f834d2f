// The objects of a rendered topology: workloads, Services, budgets, policies, and what Kustomize reads.

internal import Settings

extension KubernetesRendering {
    func kustomization(_ resources: [String], _ groups: [Group]) -> String {
        """
        # \(topology.name). Written by `winnow launch --render kubernetes`; changes belong in an overlay that names this base.
        apiVersion: kustomize.config.k8s.io/v1beta1
        kind: Kustomization
        resources:
        \(resources.map { "  - \($0)" }.joined(separator: "\n"))
        \(secrets(groups))
        """
    }

    /// Of the files in `keys`, each group's own; and those of `http`, which are the coordinator's.
    private func secrets(_ groups: [Group]) -> String {
        func secret(_ name: String, of group: String, _ files: [String]) -> String {
            """
              - name: \(name)
                files: [\(files.joined(separator: ", "))]
                options:
                  # No hash in its name: a changed list of keys starts nothing anew.
                  disableNameSuffixHash: true
                  labels: \(selector(group))

            """
        }
        func keys(_ group: String, _ files: [String]) -> String {
            secret(self.secret(of: group), of: group, files.map { "keys/\($0)" })
        }
        var secrets: [String] = []
        if hasKeys {
            secrets.append(keys("coordinator", RenderedKeys.coordinatorFiles))
            secrets += groups.map { keys($0.name, $0.processes.map { RenderedKeys.file(of: $0.name) }) }
        }
        if !httpFiles.isEmpty {
            secrets.append(secret(httpSecret, of: "coordinator", httpFiles.names.map { "http/\($0)" }))
        }
        return secrets.isEmpty ? "" : "secretGenerator:\n" + secrets.joined()
    }

    func coordinator() -> String {
        let port = topology.coordinator.httpPort
        let live = get("/health/live")
        let admin = topology.coordinator.adminPort.map { "            - {name: admin, containerPort: \($0)}\n" } ?? ""
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
            \(coordinatorContainer())
                      ports:
                        - {name: http, containerPort: \(port)}
            \(admin)            - {name: register, containerPort: \(Topology.coordinatorPort)}
                        - {name: results, containerPort: \(Topology.coordinatorPort + 1)}
                      startupProbe: {\(live), periodSeconds: 5, failureThreshold: 120}
                      livenessProbe: {\(live), periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
                      readinessProbe: {\(get("/health/ready")), periodSeconds: 2, timeoutSeconds: 5}
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

    func statefulSet(_ group: Group) -> String {
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

    func disruptionBudget(_ group: String) -> String {
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

    func networkPolicy() -> String {
        let own = "{podSelector: {matchLabels: \(instance)}}"
        // Whoever reaches it needs no key.
        let monitoring = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}"
        let admin =
            topology.coordinator.adminPort.map {
                "    # Metrics and status: for pods of the namespace `monitoring`.\n"
                    + "    - {from: [\(monitoring)], ports: [{port: \($0), protocol: TCP}]}\n"
            } ?? ""
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
            \(admin)  egress:
                - to: [\(own)]
                - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]

            """
    }

    var monitoring: String {
        """
        # For clusters with the Prometheus operator: an overlay adds it with `components: [../monitoring]`.
        apiVersion: kustomize.config.k8s.io/v1alpha1
        kind: Component
        resources:
          - pod-monitor.yaml

        """
    }

    func podMonitor() -> String {
        let scheme = isProbedByTLS ? ", scheme: https" : ""
        return """
            apiVersion: monitoring.coreos.com/v1
            kind: PodMonitor
            metadata:
            \(metadata("coordinator", at: "  "))
            spec:
              selector:
                matchLabels: \(selector("coordinator"))
              podMetricsEndpoints:
                - {port: \(operators), path: /metrics, interval: 15s\(scheme)}

            """
    }

    var instance: String { "{app.kubernetes.io/name: winnow, app.kubernetes.io/instance: \(name)}" }

    func selector(_ group: String) -> String {
        "{app.kubernetes.io/name: winnow, app.kubernetes.io/instance: \(name), app.kubernetes.io/component: \(group)}"
    }

    func labels(_ group: String) -> String { selector(group) }

    func metadata(_ group: String?, at indent: String) -> String {
        let labels = group.map(selector) ?? instance
        return
            "\(indent)name: \(([name] + (group.map { [$0] } ?? [])).joined(separator: "-"))\n\(indent)labels: \(labels)"
    }

    /// The port of probes and metrics.
    private var operators: String { topology.coordinator.adminPort == nil ? "http" : "admin" }

    /// TLS is at the clients' port alone.
    private var isProbedByTLS: Bool { operators == "http" && topology.coordinator.settings.isSaid("tls_certificate") }

    private func get(_ path: String) -> String {
        "httpGet: {path: \(path), port: \(operators)\(isProbedByTLS ? ", scheme: HTTPS" : "")}"
    }
}
