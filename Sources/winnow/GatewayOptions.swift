import ArgumentParser
import Gateway

/// What HTTP clients may cost, and which web pages may be clients.
struct GatewayOptions: ParsableArguments {
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Web pages that may use the API from a browser; * allows every page.", valueName: "origin"))
    var corsOrigin: [String] = []

    @Option(help: ArgumentHelp("The largest request body; a larger one gets 413.", valueName: "bytes"))
    var maxBodyBytes = GatewayLimits().bodyBytes

    @Option(help: ArgumentHelp("Requests answered at a time, health apart; more get 503.", valueName: "n"))
    var maxConnections = GatewayLimits().connections

    @Option(help: ArgumentHelp("The most of them from one address.", valueName: "n"))
    var maxConnectionsPerAddress = GatewayLimits().connectionsPerAddress

    func validate() throws {
        do {
            _ = try CORSPolicy(allowing: corsOrigin)
        } catch {
            throw ValidationError("--cors-origin: \(error)")
        }
        guard (1024...1 << 30).contains(maxBodyBytes) else {
            throw ValidationError("--max-body-bytes must be 1024 to 1073741824, found \(maxBodyBytes)")
        }
        for (name, count) in [
            ("--max-connections", maxConnections), ("--max-connections-per-address", maxConnectionsPerAddress),
        ] where !(1...1_000_000).contains(count) {
            throw ValidationError("\(name) must be 1 to 1000000, found \(count)")
        }
    }

    /// The pages of origins that have passed `validate`.
    var cors: CORSPolicy { (try? CORSPolicy(allowing: corsOrigin)) ?? .none }

    /// The limits, with as many connections as the system lets this process have: each is an open file.
    func limits(drainTime: Duration) -> GatewayLimits {
        var limits = GatewayLimits(
            bodyBytes: maxBodyBytes, connections: maxConnections, connectionsPerAddress: maxConnectionsPerAddress,
            drainTime: drainTime)
        let files = OpenFiles.raiseLimit(wanted: limits.connections + limits.reservedConnections)
        limits.connections = max(1, files - limits.reservedConnections)
        limits.connectionsPerAddress = min(limits.connectionsPerAddress, limits.connections)
        return limits
    }
}
