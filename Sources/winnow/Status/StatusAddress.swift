// Where a coordinator's status is asked for.

import ArgumentParser
import AsyncHTTPClient
import Coordinator
import Foundation
import Launcher
import LoadGenerator
import NIOCore
import NIOHTTP1
import OutsideText
import Settings

/// A coordinator's HTTP address, as it was given or as a topology file says.
struct StatusAddress {
    /// `http://HOST:PORT`, perhaps with a path, without a slash at its end.
    let base: String
    private let key: String?
    private let trust: ServerTrust

    /// Nobody answers there, or not as a coordinator does.
    struct Unanswered: Error, CustomStringConvertible {
        var description: String
    }

    /// The longest a coordinator may take, and the longest status that is read.
    private static let patience = TimeAmount.seconds(10)
    private static let mostBytes = 16 << 20

    /// Who refuses a connection is not asked again.
    private func configuration() throws -> HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration()
        configuration.tlsConfiguration = try trust.configuration()
        configuration.connectionPool.retryConnectionEstablishment = false
        return configuration
    }

    /// - Parameters:
    ///   - place: an address, or the path of a topology file.
    ///   - key: sent as a bearer token.
    ///   - caFile: a PEM file with certificates to trust beside the system's.
    /// - Throws: `TopologyError` for a file that is wrong, `ValidationError` for what is neither.
    init(_ place: String, key: String? = nil, caFile: String? = nil) throws {
        self.key = key
        trust = ServerTrust(caFile: caFile)
        if place.contains("://") {
            guard let url = URL(string: place), ["http", "https"].contains(url.scheme), url.host() != nil else {
                throw ValidationError("'\(place.shown)' is no address: write http://HOST:PORT")
            }
            base = String(place.reversed().drop { $0 == "/" }.reversed())
        } else if !FileManager.default.fileExists(atPath: place), SettingKind.isHostAndPort(place) {
            base = "http://" + Self.reachable(place)
        } else {
            let topology = try Topology(contentsOf: place, areModelsHere: false)
            let settings = topology.coordinator.settings
            let admin = settings.text("admin")
            let http = admin ?? topology.coordinator.http
            guard !http.hasSuffix(":0") else {
                throw ValidationError(
                    "\(place.shown) lets the coordinator take any free port: give the address that it printed, "
                        + "`ready http://HOST:PORT`")
            }
            let scheme = admin == nil && settings.isSaid("tls_certificate") ? "https" : "http"
            base = "\(scheme)://" + Self.reachable(http, at: topology.hosts[topology.coordinator.host]?.address)
        }
    }

    /// Who listens everywhere is asked at its host's address, or here.
    private static func reachable(_ http: String, at host: String? = nil) -> String {
        for (wildcard, local) in [("0.0.0.0:", "127.0.0.1:"), ("[::]:", "[::1]:"), ("*:", "127.0.0.1:")]
        where http.hasPrefix(wildcard) {
            let known = host.map { $0.contains(":") ? "[\($0)]:" : "\($0):" } ?? local
            return known + http.dropFirst(wildcard.count)
        }
        return http
    }

    /// The status at this moment, and its JSON as it came.
    func ask() async throws(Unanswered) -> (status: FleetStatus, json: String) {
        do {
            var request = HTTPClientRequest(url: base + "/status")
            if let key { request.headers.add(name: "authorization", value: "Bearer \(key)") }
            let (code, body) = try await HTTPClient.withHTTPClient(configuration: configuration()) { [request] client in
                let response = try await client.execute(request, timeout: Self.patience)
                return (response.status.code, try await response.body.collect(upTo: Self.mostBytes))
            }
            guard code != 401, code != 403 else {
                throw Unanswered(
                    description:
                        "\(base)/status wants an operator's key: give --api-key-file (winnow keys api new --operator)")
            }
            guard code == 200 else {
                throw Unanswered(description: "\(base)/status answers \(code): is it a coordinator?")
            }
            let data = Data(body.readableBytesView)
            // Not as it came: what a stranger sends must not act on a terminal.
            let status = try FleetStatus(json: data)
            return (status, String(decoding: try status.json(), as: UTF8.self))
        } catch let error as Unanswered {
            throw error
        } catch let error as DecodingError {
            throw Unanswered(description: "\(base)/status is not a coordinator's status: \(Self.text(error))")
        } catch {
            throw Unanswered(description: "no coordinator answers at \(base): \("\(error)".shown(upTo: 200))")
        }
    }

    private static func text(_ error: DecodingError) -> String {
        switch error {
        case .dataCorrupted(let context), .keyNotFound(_, let context), .typeMismatch(_, let context),
            .valueNotFound(_, let context):
            context.debugDescription.shown(upTo: 200)
        @unknown default: "\(error)".shown(upTo: 200)
        }
    }
}
