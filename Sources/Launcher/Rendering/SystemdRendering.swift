// A topology as systemd units, a folder for each host.

internal import Settings
internal import Wire

/// Units of type `notify` with a watchdog, in a sandbox; a target starts and ends those of a host together.
struct SystemdRendering {
    private let topology: Topology
    private let plan: LaunchPlan
    private let name: String
    private let executable: String
    private let httpFiles: RenderedHTTPFiles

    init(_ topology: Topology, _ options: RenderOptions) throws(RenderError) {
        guard options.executable.hasPrefix("/") else {
            throw RenderError(
                description:
                    "systemd wants the program's absolute path, found `\(options.executable)`; write for example "
                    + "--executable /usr/local/bin/winnow")
        }
        let httpFiles = RenderedHTTPFiles(all: topology)
        for path in [topology.model, topology.speculator, topology.coordinator.trace].compactMap({ $0 })
            + httpFiles.sources
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
        let plan = LaunchPlan(topology: topology, executable: options.executable, places: places, hasFixedPorts: true)
        self.httpFiles = httpFiles
        self.plan = Self.withCredentials(plan, topology, httpFiles, name)
    }

    /// Stands for `%d`, where systemd gives a unit its credentials.
    private static let credentials = "/winnow-credentials"
    /// The folder of a host's keys.
    private static func keyFolder(_ name: String) -> String { "/etc/winnow-\(name)" }

    /// Secrets are credentials, copied for the unit alone when it starts. The list of who may join is none, and is read
    /// where it lies: what changes there holds at once. API keys and certificates lie where the topology says, and change
    /// with a restart, for the unit has nobody's rights to read them later.
    private static func withCredentials(
        _ plan: LaunchPlan, _ topology: Topology, _ httpFiles: RenderedHTTPFiles, _ name: String
    ) -> LaunchPlan {
        var plan = plan
        for file in httpFiles.files { plan.coordinator.set(file.setting, "\(credentials)/\(file.name)") }
        guard topology.keys != .none else { return plan }
        plan.coordinator.set("keys", credentials)
        plan.coordinator.set("allow_list", "\(keyFolder(name))/allowed")
        for index in plan.workers.indices { plan.workers[index].set("key", "\(credentials)/key") }
        return plan
    }

    private func credentialLines(_ process: ProcessPlan) -> String {
        let isCoordinator = process.part == .coordinator
        var credentials: [(name: String, path: String)] = []
        if topology.keys != .none {
            let file = RenderedKeys.file(of: process.name)
            credentials.append((isCoordinator ? file : "key", "\(Self.keyFolder(name))/\(file)"))
        }
        if isCoordinator { credentials += httpFiles.files.map { ($0.name, $0.source) } }
        // The path is the rest of the line as it stands, but for specifiers.
        return credentials.map { "LoadCredential=\($0.name):\($0.path.replacing("%", with: "%%"))\n" }.joined()
    }

    /// A folder `winnow-NAME` for each host, with the keys of its processes alone.
    var keys: RenderedKeys? {
        func copies(_ host: String, _ files: [String]) -> [RenderedKeys.Copy] {
            files.map { RenderedKeys.Copy(name: $0, path: "\(host)/winnow-\(name)/\($0)") }
        }
        return RenderedKeys(
            topology.keys, plan, usual: "keys",
            copies: copies(topology.coordinator.host, RenderedKeys.coordinatorFiles)
                + zip(topology.workerPlaces, plan.workers).flatMap { copies($0.host, [RenderedKeys.file(of: $1.name)]) }
        )
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
            ExecStart=\(words.map(Self.word).joined(separator: " "))
            \(credentialLines(process))\(environment)\(restart)
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

    private static func word(_ word: String) -> String {
        guard word.hasPrefix(credentials) else { return quoted(word, inCommand: true) }
        return "%d" + String(word.dropFirst(credentials.count))
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
