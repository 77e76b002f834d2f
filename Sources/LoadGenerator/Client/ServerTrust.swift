// Whose certificates an HTTPS server may show.

package import NIOSSL

/// Whose certificates are taken for `https` addresses.
public struct ServerTrust: Sendable, Equatable {
    private let caFile: String?
    private let isInsecure: Bool

    /// - Parameters:
    ///   - caFile: a PEM file with certificates to trust beside the system's.
    ///   - isInsecure: takes any certificate.
    public init(caFile: String? = nil, isInsecure: Bool = false) {
        self.caFile = caFile
        self.isInsecure = isInsecure
    }

    package func configuration() throws(LoadGeneratorError) -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        if isInsecure { configuration.certificateVerification = .none }
        guard let caFile else { return configuration }
        do {
            configuration.additionalTrustRoots = [.certificates(try NIOSSLCertificate.fromPEMFile(caFile))]
        } catch {
            throw LoadGeneratorError(.usage, caFile, "not a PEM file with certificates")
        }
        return configuration
    }
}
