// The commands that run a launch's processes by hand.

extension LaunchPlan {
    /// Shell commands that run the same processes by hand, coordinator first. `--exit-with-stdin` is left out:
    /// at a terminal each process ends with Ctrl-C. What runs on another host is preceded by `ssh -t` and its name.
    ///
    /// - Parameter endpoint: Where the workers find the coordinator.
    public func commands(coordinatorAt endpoint: String) -> [String] {
        ([coordinator] + workers(coordinatorAt: endpoint)).map { process in
            let variables = process.environment.sorted { $0.key < $1.key }.map {
                "\($0.key)=\(ShellWord.quoted($0.value))"
            }
            let arguments = process.arguments.filter { $0 != Self.endWithInput }
            switch process.place {
            case .here: return (variables + ([executable] + arguments).map(ShellWord.quoted)).joined(separator: " ")
            case .ssh(let host):
                let words = (variables.isEmpty ? [] : ["env"]) + variables
                let command = words + ([host.executable] + arguments).map(ShellWord.quoted)
                return
                    "ssh -t \(ShellWord.quoted(host.destination)) \(ShellWord.quoted(command.joined(separator: " ")))"
            }
        }
    }
}
