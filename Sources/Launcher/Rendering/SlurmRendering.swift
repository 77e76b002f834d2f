// A topology as a batch script for Slurm.

internal import Wire

/// A script whose processes are job steps. The topology's hosts stand for nodes of the allocation, in the file's order;
/// addresses are the nodes' own, so one script runs wherever it is given room.
struct SlurmRendering {
    private let topology: Topology
    private let plan: LaunchPlan
    private let name: String
    private let executable: String
    /// The hosts in the order of their first process.
    private let hosts: [String]
    private let places: [String]

    /// Stands for a node's address until the script runs.
    private static func mark(_ index: Int) -> String { "winnow-node-\(index)-" }
    /// Stands for the folder of the job's keys.
    private static let keys = "/winnow-job-keys"

    init(_ topology: Topology, _ options: RenderOptions) throws(RenderError) {
        executable = options.executable
        name = Rendering.plainName(topology.name)
        var used = [topology.coordinator.host]
        for place in topology.workerPlaces where !used.contains(place.host) { used.append(place.host) }
        hosts = used
        if used.count > 1 {
            try Rendering.checkLinks(of: topology, "\(used.count) nodes")
        }
        places = [topology.coordinator.host] + topology.workerPlaces.map(\.host)
        // Every process binds its node's address, whatever the file says of its hosts'.
        var there = topology
        there.coordinator.listen = nil
        there.coordinator.results = nil
        there.coordinator.advertise = nil
        func node(_ place: Topology.WorkerPlace) -> Topology.WorkerPlace {
            var place = place
            place.listen = nil
            place.advertise = nil
            return place
        }
        for index in there.pipelines.indices { there.pipelines[index].stages = there.pipelines[index].stages.map(node) }
        there.spares = there.spares.map(node)
        there.speculators = there.speculators.map(node)
        there.hosts = Dictionary(
            uniqueKeysWithValues: used.enumerated().map { index, host in
                (host, Topology.HostPlace(address: Self.mark(index) + "x", folder: topology.hosts[host]?.folder))
            })
        self.topology = there
        let plan = LaunchPlan(
            topology: there, executable: executable,
            places: Places(there, executable: executable, workingDirectory: "/") { _ in false })
        self.plan = there.keys == .none ? plan : plan.with(KeyFolder(path: Self.keys))
    }

    func script() throws(RenderError) -> RenderedFile {
        let workers = plan.workers(coordinatorAt: topology.coordinatorEndpoint(hasFixedPorts: true))
        let processes = zip(places, [plan.coordinator] + workers).map { host, process in
            (node: hosts.firstIndex(of: host) ?? 0, process: process)
        }
        let perNode = hosts.indices.map { node in processes.count { $0.node == node } }.max() ?? 1
        let threads = processes.map { Int($0.process.arguments.value(of: "--threads") ?? "") ?? 1 }
        let environment = topology.environment.sorted { $0.key < $1.key }
            .map { "export \($0.key)=\(ShellWord.quoted($0.value))\n" }.joined()
        let steps = zip(processes, threads).map { entry, threads in
            let words = entry.process.arguments.unattended.map(word)
            return """
                keep \(entry.process.name) \(entry.node) \(threads) \\
                    \(Self.folded(words)) &
                steps+=($!)
                """
        }
        return RenderedFile(
            path: "winnow-\(name).sbatch",
            text: head(nodes: hosts.count, perNode: perNode, threads: threads.max() ?? 1) + environment
                + keyLines + Self.body(restart) + steps.joined(separator: "\n") + "\n" + Self.tail)
    }

    /// A word as bash reads it back, with the address of a node where a mark stands.
    private func word(_ text: String) -> String {
        if text.hasPrefix(Self.keys) { return "\"$keys\(text.dropFirst(Self.keys.count))\"" }
        let marked = hosts.indices.first { text.contains(Self.mark($0)) }
        guard let marked else { return ShellWord.quoted(text) }
        return "\"\(text.replacing(Self.mark(marked) + "x", with: "$(address \(marked))"))\""
    }

    /// A few words a line.
    private static func folded(_ words: [String]) -> String {
        var lines = [""]
        for word in words {
            if (lines.last ?? "").count + word.count > 100 { lines.append("") }
            lines[lines.count - 1] += (lines.last == "" ? "" : " ") + word
        }
        return lines.joined(separator: " \\\n    ")
    }

    private func head(nodes: Int, perNode: Int, threads: Int) -> String {
        let drain = plan.drainTime.components.seconds + 15
        return """
            #!/usr/bin/env bash
            # \(topology.name) as a Slurm job: sbatch winnow-\(name).sbatch; scancel ends it. Written by `winnow launch --render slurm`.
            # The log says `ready http://...` once the cluster serves. Options of sbatch's own go before these:
            # -N NODES takes fewer nodes or more, processes are dealt out over what there is.
            #SBATCH --job-name=winnow-\(name)
            #SBATCH --nodes=\(nodes)
            #SBATCH --ntasks-per-node=\(perNode)
            #SBATCH --cpus-per-task=\(threads)
            #SBATCH --output=winnow-\(name)-%j.log
            # Before its time is up the job is told, so that running requests can end.
            #SBATCH --signal=B:TERM@\(drain)
            set -uo pipefail

            winnow=${WINNOW:-\(ShellWord.quoted(executable))}

            """
    }

    /// The job makes its keys when it starts, so that no script holds a secret and none outlives its job.
    private var keyLines: String {
        let holders = plan.keyHolders.map { $0.role == .speculator ? "\($0.name)=speculator" : $0.name }
        let (comment, folder, isPassing): (String, String, Bool)
        switch topology.keys {
        case .none: return ""
        case .ephemeral:
            comment = """
                # The keys of this job, which nobody else may read; on a file system that its nodes share, as this log is. A job
                # that is requeued makes new ones.
                """
            (folder, isPassing) = ("$PWD/winnow-\(name)-$SLURM_JOB_ID.keys", true)
        case .folder(let path):
            comment = "# Keys that stay, on a file system that the nodes share; what is missing there is made."
            (folder, isPassing) = (path, false)
        }
        return """

            \(comment)
            keys=\(isPassing ? "\"\(folder)\"" : ShellWord.quoted(folder))
            \(isPassing ? "rm -rf \"$keys\"\ntrap 'rm -rf \"$keys\"' EXIT\n" : "")\
            for worker in \(Self.folded(holders.map(ShellWord.quoted))); do
                [ -e "$keys/${worker%=*}.key" ] || "$winnow" keys new "$worker" --dir "$keys" || exit
            done

            """
    }

    private var restart: String {
        func milliseconds(_ time: Duration) -> Int64 {
            time.components.seconds * 1000 + time.components.attoseconds / 1_000_000_000_000_000
        }
        let policy = plan.restart
        return """
            # What becomes of a process that ends by itself: always, on-failure or never; milliseconds before its next start, \
            which
            # double up to the second number; and how many ends within how many seconds are too many.
            policy=\(policy.condition.rawValue) backoff=\(milliseconds(policy.backoff)) \
            max_backoff=\(milliseconds(policy.maxBackoff)) give_up=\(policy.giveUp) window=\(policy.window.components.seconds)
            """
    }

    private static func body(_ restart: String) -> String {
        """

        \(restart)

        mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
        addresses=()
        for node in "${nodes[@]}"; do
            address=$(scontrol show node "$node" --oneliner | grep -o 'NodeAddr=[^ ]*')
            addresses+=("${address#NodeAddr=}")
        done
        # On one node nobody else need reach the processes.
        if ((${#nodes[@]} == 1)); then addresses=(127.0.0.1); fi
        address() { echo "${addresses[$1 % ${#nodes[@]}]}"; }

        # keep NAME NODE CPUS ARGUMENT...: a step that runs the process and starts it again when it ends by itself.
        keep() {
            local name=$1 node=${nodes[$2 % ${#nodes[@]}]} cpus=$3 child='' ending='' wait=$backoff status began
            local -a ends=()
            shift 3
            trap 'ending=1; [ -n "$child" ] && kill -TERM "$child" 2>/dev/null' TERM
            while [ -z "$ending" ]; do
                began=$SECONDS
                srun --nodes=1 --ntasks=1 --nodelist="$node" --cpus-per-task="$cpus" --exact --mem=0 --job-name="$name" \\
                    --unbuffered --wait=0 --export=ALL "$winnow" "$@" > >(sed -u "s/^/$name | /") 2>&1 </dev/null &
                child=$!
                wait "$child"
                status=$?
                # A signal breaks the wait off, not the step.
                while kill -0 "$child" 2>/dev/null; do
                    wait "$child"
                    status=$?
                done
                child=''
                [ -n "$ending" ] && break
                echo "$name | ended with status $status"
                case $policy:$status in never:* | on-failure:0) return "$status" ;; esac
                case $status in 64 | 65) return "$status" ;; esac
                if ((SECONDS - began >= 60)); then wait=$backoff; fi
                ends+=("$SECONDS")
                while ((SECONDS - ends[0] > window)); do ends=("${ends[@]:1}"); done
                if ((${#ends[@]} > give_up)); then return "$status"; fi
                sleep "$(printf '%d.%03d' $((wait / 1000)) $((wait % 1000)))"
                wait=$((wait * 2 > max_backoff ? max_backoff : wait * 2))
            done
            return 0
        }

        # The coordinator is the first to be told of the end: it lets its requests end while the workers compute.
        steps=() ending=''
        end() {
            ending=1
            [ -n "${steps[0]:-}" ] && kill -TERM "${steps[0]}" 2>/dev/null
        }
        trap end TERM INT

        """
    }

    private static let tail = """

        # The first process that is given up ends the job, and its status is the job's.
        wait -n "${steps[@]}"
        status=$?
        while [ -n "$ending" ] && kill -0 "${steps[0]}" 2>/dev/null; do
            wait "${steps[0]}"
            status=0
        done
        [ -n "$ending" ] && status=0
        kill -TERM "${steps[@]}" 2>/dev/null
        wait
        exit "$status"

        """
}
