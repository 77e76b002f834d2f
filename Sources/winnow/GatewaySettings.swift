// What HTTP clients may cost, and which web pages may be clients.

import Gateway
import Launcher
import SecretFiles
import Settings
import Wire

/// The coordinator's settings that its gateway is told.
struct GatewaySettings {
    private let values: SettingValues

    init(_ values: SettingValues) { self.values = values }

    /// Which web pages may use the API.
    ///
    /// - Throws: what is wrong with an origin.
    func cors() throws -> CORSPolicy { try CORSPolicy(allowing: values.said("cors_origin")) }

    /// Keys and certificate.
    ///
    /// - Throws: `SecretFileError`.
    func security() throws(SecretFileError) -> GatewaySecurity {
        var keys: APIKeyFile?
        if let path = values.text("api_keys"), path != SettingKind.noFolder { keys = try APIKeyFile(path: path) }
        var tls: TLSIdentity?
        if let certificate = values.text("tls_certificate"), let key = values.text("tls_key") {
            tls = try TLSIdentity(
                TLSFiles(certificate: certificate, key: key, clientCA: values.text("tls_client_ca")))
        }
        return GatewaySecurity(keys: keys, tls: tls)
    }

    /// Where clients are served.
    var address: Gateway.Address { Self.address(values.text("http") ?? "") }

    /// Where operators look, if not there.
    var admin: Gateway.Address? { values.text("admin").map(Self.address) }

    /// Whether somebody else asks clients who they are.
    var isMeantOpen: Bool { values.text("api_keys") == SettingKind.noFolder }

    /// Host and port of a checked text, as the system binds them: an IPv6 address without brackets; every interface, of
    /// IPv4 and IPv6, as `::`.
    private static func address(_ text: String) -> Gateway.Address {
        guard let colon = text.lastIndex(of: ":") else { return Gateway.Address(host: text, port: 0) }
        var host = String(text[..<colon])
        if host == "*" {
            host = HostAddress.hasIPv6 ? "::" : "0.0.0.0"
        } else if host.hasPrefix("[") {
            host = String(host.dropFirst().dropLast())
        }
        return Gateway.Address(host: host, port: Int(text[text.index(after: colon)...]) ?? 0)
    }

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
