// The pods of a rendered topology: their rights, volumes, arguments and keys.

extension KubernetesRendering {
    /// Where a pod has its key: the coordinator a folder, a worker one file.
    static let keyFolder = "/etc/winnow/keys"
    static let keyFile = "/etc/winnow/key"

    /// Pods of a group on hosts of their own where there are enough; nobody's rights.
    func pod(grace: Int, group: String) -> String {
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
                  emptyDir: {}\(hasKeys ? secretVolume("keys", secret(of: group)) : "")\
        \(group == "coordinator" && !httpFiles.isEmpty ? secretVolume("http", httpSecret) : "")
        """
    }

    /// Root's files, which the pod's group may read.
    private func secretVolume(_ volume: String, _ secret: String) -> String {
        """

                - name: \(volume)
                  secret: {secretName: \(secret), defaultMode: 0400}
        """
    }

    /// The Secret of what the coordinator's HTTP side reads.
    var httpSecret: String { "\(name)-coordinator-http" }

    /// The Secret of a group's pods.
    func secret(of group: String) -> String { "\(name)-\(group)-keys" }

    /// The coordinator's container as far as it has no ports and probes.
    func coordinatorContainer() -> String {
        container(
            plan.coordinator.arguments.unattended.map(KubernetesText.literal) + ["--advertise", "$(POD_IP)"],
            threads: topology.coordinator.threads ?? 1,
            // Whole Secrets: a changed list, or a new certificate, reaches the coordinator while it runs.
            secrets: (hasKeys ? ["{name: keys, mountPath: \(Self.keyFolder), readOnly: true}"] : [])
                + (httpFiles.isEmpty ? [] : ["{name: http, mountPath: \(RenderedHTTPFiles.folder), readOnly: true}"]))
    }

    /// A worker's. Where the stages differ a shell adds what is each one's own, by the pod's ordinal.
    func container(_ group: Group) -> String {
        let each = group.processes.map { process in
            process.arguments.unattended.without("--name").map(KubernetesText.literal)
        }
        let own = ["--name", "$(POD_NAME)", "--advertise", "$(POD_IP)"]
        // Of the group's keys a pod sees its own alone.
        let key = "{name: keys, mountPath: \(Self.keyFile), subPathExpr: $(POD_NAME).key, readOnly: true}"
        let secrets = hasKeys ? [key] : []
        guard let first = each.first, each.contains(where: { $0 != first }) else {
            return container((each.first ?? []) + own, threads: group.threads, secrets: secrets)
        }
        let cases = each.enumerated().map { ordinal, words in
            "\(ordinal)) set -- \"$@\" \(words.dropFirst().map(ShellWord.quoted).joined(separator: " "));;"
        }
        let script = "case ${POD_NAME##*-} in \(cases.joined(separator: " ")) esac; exec winnow \"$@\""
        return container(["worker"] + own, threads: group.threads, secrets: secrets, script: script)
    }

    private func container(_ arguments: [String], threads: Int, secrets: [String], script: String? = nil) -> String {
        let text = KubernetesText.quoted
        let start =
            script.map { "          command: [/bin/sh, -c, \(text($0)), winnow]\n" }
            ?? "          command: [winnow]\n"
        let environment =
            [
                "            - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}",
                "            - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}",
            ]
            + topology.environment.sorted { $0.key < $1.key }.map {
                "            - {name: \(text($0.key)), value: \(text(KubernetesText.literal($0.value)))}"
            }
        return """
                      image: \(text(options.image))
            \(start)          args:
            \(arguments.map { "            - \(text($0))" }.joined(separator: "\n"))
                      env:
            \(environment.joined(separator: "\n"))
                      resources:
                        requests: {cpu: "\(threads)", memory: \(text(options.memory))}
                        limits: {cpu: "\(threads)", memory: \(text(options.memory))}
                      securityContext:
                        allowPrivilegeEscalation: false
                        readOnlyRootFilesystem: true
                        capabilities: {drop: [ALL]}
                      volumeMounts:
                        - {name: models, mountPath: \(Self.models), readOnly: true}
                        - {name: tmp, mountPath: /tmp}\(secrets.map { "\n            - \($0)" }.joined())
            """
    }
}
