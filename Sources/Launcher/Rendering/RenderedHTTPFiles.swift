// What the coordinator's HTTP side reads, as an engine hands it out: API keys, certificate and private key.

internal import Settings

/// A file of the operator's that a rendered one needs beside it, for its text is a secret or may not be shown.
public struct RenderedCopy: Equatable, Sendable {
    /// Where it is, as the topology's settings say it.
    public var source: String
    /// Where it goes, relative to the folder asked for.
    public var path: String
    /// Whether others may not read it.
    public var isSecret: Bool

    /// Names a file and its place.
    public init(source: String, path: String, isSecret: Bool) {
        self.source = source
        self.path = path
        self.isSecret = isSecret
    }
}

/// The files of HTTP that a topology names.
struct RenderedHTTPFiles {
    /// Where a pod has them.
    static let folder = "/etc/winnow/http"
    /// By their settings; the names in the Secret are those of a TLS Secret of Kubernetes, where it has any.
    private static let names = [
        ("api_keys", "api-keys"), ("tls_certificate", "tls.crt"), ("tls_key", "tls.key"), ("tls_client_ca", "ca.crt"),
    ]

    private(set) var files: [(setting: String, name: String, source: String)] = []

    /// All of them.
    init(all topology: Topology) {
        for (setting, name) in Self.names {
            guard let path = topology.coordinator.settings.text(setting), path != SettingKind.noFolder else { continue }
            files.append((setting, name, path))
        }
    }

    /// Those beside the topology file. A path that is absolute and leads out of its folder is a pod's own.
    init(beside topology: Topology) {
        self.init(all: topology)
        files.removeAll { file in
            file.source.hasPrefix("/")
                && (topology.folder.isEmpty || !file.source.hasPrefix(topology.folder + "/"))
        }
    }

    var isEmpty: Bool { files.isEmpty }

    /// Their names in the Secret.
    var names: [String] { files.map(\.name) }
    /// Where they are, as the topology's settings say it.
    var sources: [String] { files.map(\.source) }

    /// Has the coordinator look where its pod has them.
    func place(in coordinator: inout Topology.CoordinatorPlace) {
        for file in files { coordinator.settings.set(file.setting, "\(Self.folder)/\(file.name)") }
    }

    /// - Parameter folder: relative to the folder asked for.
    func copies(to folder: String) -> [RenderedCopy] {
        files.map { file in
            RenderedCopy(
                source: file.source, path: "\(folder)/\(file.name)",
                isSecret: ["api_keys", "tls_key"].contains(file.setting))
        }
    }
}
