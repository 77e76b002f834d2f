// What HTTP clients may cost, and which web pages may be clients.

import Gateway
import Settings

/// The coordinator's settings that its gateway is told.
struct GatewaySettings {
    private let values: SettingValues

    init(_ values: SettingValues) { self.values = values }

    /// Which web pages may use the API.
    ///
    /// - Throws: what is wrong with an origin.
    func cors() throws -> CORSPolicy { try CORSPolicy(allowing: values.said("cors_origin")) }

    /// The limits, with as many connections as the system lets this process have: each is an open file.
    func limits(drainTime: Duration) -> GatewayLimits {
        var limits = GatewayLimits(drainTime: drainTime)
        limits.bodyBytes = values.integer("max_body_bytes") ?? limits.bodyBytes
        limits.connections = values.integer("max_connections") ?? limits.connections
        limits.connectionsPerAddress = values.integer("max_connections_per_address") ?? limits.connectionsPerAddress
        let files = OpenFiles.raiseLimit(wanted: limits.connections + limits.reservedConnections)
        limits.connections = max(1, files - limits.reservedConnections)
        limits.connectionsPerAddress = min(limits.connectionsPerAddress, limits.connections)
        return limits
    }
}
