// A topology as systemd units, a folder for each host.

internal import Settings

/// Units of type `notify` with a watchdog, in a sandbox; a target starts and ends those of a host together.
struct SystemdRendering {
    private let topology: Topology
    private let plan: LaunchPlan
    private let name: String
    private let executable: String

    init(_ topology: Topology, _ options: RenderOptions) throws(RenderError) {
        guard options.executable.hasPrefix("/") else {
            throw RenderError(
                description:
                    "systemd wants the program's absolute path, found `\(options.executable)`; write for example "
                    + "--executable /usr/local/bin/winnow")
        }
        for path in [topology.model, topology.speculator, topology.coordinator.trace].compactMap({ $0 })
        where !path.hasPrefix("/") && topology.folder.hasPrefix("/") == false {
            throw RenderError(
                description:
                    "`\(path)` is relative, and a unit starts in `/`; give the topology file by its absolute path, "
                    + "or write absolute paths in it")
        }
        self.topology = topology
        executable = options.executable
        name = Rendering.plainName(topology.name)
        // Nothing runs here: every host is looked at as one that is not this machine, so that folders apply.
        let places = Places(topology, executable: options.executable, workingDirectory: "/") { _ in false }
        plan = LaunchPlan(topology: topology, executable: options.executable, places: places, hasFixedPorts: true)
    }

    func files() throws(RenderError) -> [RenderedFile] {
        let workers = plan.workers(coordinatorAt: topology.coordinatorEndpoint(hasFixedPorts: true))
        let processes =
            [(topology.coordinator.host, plan.coordinator)] + zip(topology.workerPlaces.map(\.host), workers)
        var hosts: [String] = []
        for (host, _) in processes where !hosts.contains(host) { hosts.append(host) }
        return hosts.flatMap { host in
            let own = processes.filter { $0.0 == host }.map(\.1)
            return [RenderedFile(path: "\(host)/\(target)", text: targetText(own))]
                + own.map { RenderedFile(path: "\(host)/\(unit($0))", text: text($0)) }
        }
    }

    private var target: String { "winnow-\(name).target" }
    private func unit(_ process: ProcessPlan) -> String { "winnow-\(name)-\(process.name).service" }

    private func targetText(_ processes: [ProcessPlan]) -> String {
        """
        # The processes of \(topology.name) on this host: systemctl start \(target)
        [Unit]
        Description=Winnow \(topology.name)
        Wants=\(processes.map(unit).joined(separator: " "))

        [Install]
        WantedBy=multi-user.target

        """
    }

    private func text(_ process: ProcessPlan) -> String {
        let isCoordinator = process.part == .coordinator
        let stop = isCoordinator ? plan.drainTime.components.seconds + 10 : 15
        let words = [executable] + process.arguments.unattended
        let environment = process.environment.sorted { $0.key < $1.key }
            .map { "Environment=\(Self.quoted("\($0.key)=\($0.value)", inCommand: false))\n" }.joined()
        return """
            # Written by `winnow launch --render systemd`; local changes belong in `systemctl edit \(unit(process))`.
            [Unit]
            Description=Winnow \(topology.name): \(process.name)
            Wants=network-online.target
            After=network-online.target
            PartOf=\(target)
            StartLimitIntervalSec=\(Self.seconds(plan.restart.window))
            StartLimitBurst=\(plan.restart.giveUp)

            [Service]
            Type=notify
            NotifyAccess=main
            ExecStart=\(words.map { Self.quoted($0, inCommand: true) }.joined(separator: " "))
            \(environment)\(restart)
            # Reading a large model's weights is part of the start; the watchdog runs from then on.
            TimeoutStartSec=30min
            TimeoutStopSec=\(stop)
            WatchdogSec=60
            LimitNOFILE=65536
            OOMPolicy=stop

            \(sandbox(process))

            [Install]
            WantedBy=\(target)

            """
    }

    private var restart: String {
        let condition =
            switch plan.restart.condition {
            case .always: "always"
            case .onFailure: "on-failure"
            case .never: "no"
            }
        return """
            Restart=\(condition)
            RestartSec=\(Self.seconds(plan.restart.backoff))
            # Wrong arguments, and a bad file: starting again can't help.
            RestartPreventExitStatus=64 65
            """
    }

    /// What a process does not need it can't do. Code is made at run time (oneDNN), so memory may be writable and
    /// executable in turn; compute threads choose their CPUs.
    private func sandbox(_ process: ProcessPlan) -> String {
        let hidden = ["/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"]
        let read = ([executable] + ["--model", "--speculator"].compactMap { process.arguments.value(of: $0) })
            .filter { path in hidden.contains { path.hasPrefix($0) } }
        let trace = process.arguments.value(of: "--trace").map { path in
            String(path.prefix(upTo: path.lastIndex(of: "/") ?? path.startIndex))
        }
        let cache = process.settings?.said("weights_cache").last.flatMap { $0 == SettingKind.noFolder ? nil : $0 }
        return """
            DynamicUser=yes
            NoNewPrivileges=yes
            CapabilityBoundingSet=
            AmbientCapabilities=
            ProtectSystem=strict
            ProtectHome=tmpfs
            PrivateTmp=yes
            PrivateDevices=yes
            PrivateUsers=yes
            PrivateIPC=yes
            DevicePolicy=closed
            ProtectClock=yes
            ProtectControlGroups=yes
            ProtectHostname=yes
            ProtectKernelLogs=yes
            ProtectKernelModules=yes
            ProtectKernelTunables=yes
            ProtectProc=invisible
            RemoveIPC=yes
            RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
            RestrictNamespaces=yes
            RestrictRealtime=yes
            RestrictSUIDSGID=yes
            LockPersonality=yes
            SystemCallArchitectures=native
            SystemCallFilter=@system-service
            SystemCallFilter=~@privileged
            SystemCallErrorNumber=EPERM
            UMask=0077
            """
                + read.map { "\nBindReadOnlyPaths=\(Self.quoted($0, inCommand: false))" }.joined()
                + [trace, cache].compactMap { $0 }
                .map { "\nReadWritePaths=\(Self.quoted($0.isEmpty ? "/" : $0, inCommand: false))" }.joined()
    }

    /// A word as unit files read it back: `%` begins a specifier everywhere, `$` a variable in a command.
    static func quoted(_ word: String, inCommand: Bool) -> String {
        var text = word.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("%", with: "%%")
        if inCommand { text = text.replacing("$", with: "$$") }
        let plain = word.unicodeScalars.allSatisfy { scalar in
            scalar.isASCII
                && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil
                    || "-_./:=,@+*[]%".unicodeScalars.contains(scalar))
        }
        return plain && !word.isEmpty ? text : "\"\(text)\""
    }

    private static func seconds(_ time: Duration) -> String {
        let parts = time.components
        return parts.attoseconds == 0
            ? String(parts.seconds) : "\(parts.seconds * 1000 + parts.attoseconds / 1_000_000_000_000_000)ms"
    }
}
