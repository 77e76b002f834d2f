// The commands that run a launch's processes by hand.

extension LaunchPlan {
    /// Shell commands that run the same processes by hand, coordinator first. `--exit-with-stdin` is left out:
    /// at a terminal each process ends with Ctrl-C.
    ///
    /// - Parameter endpoint: Where the workers find the coordinator.
    public func commands(coordinatorAt endpoint: String) -> [String] {
        ([coordinator] + workers(coordinatorAt: endpoint)).map { process in
            let variables = process.environment.sorted { $0.key < $1.key }.map { "\($0.key)=\(Self.quoted($0.value))" }
            let words = ([executable] + process.arguments.filter { $0 != Self.endWithInput }).map(Self.quoted)
            return (variables + words).joined(separator: " ")
        }
    }

    /// A word as a POSIX shell reads it back.
    private static func quoted(_ word: String) -> String {
        let plain = word.unicodeScalars.allSatisfy { scalar in
            scalar.isASCII
                && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
                    || "-_./:=,@".unicodeScalars.contains(scalar))
        }
        return plain && !word.isEmpty
            ? word : "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}
