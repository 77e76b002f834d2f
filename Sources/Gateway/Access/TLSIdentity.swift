// The certificate a server shows, following its files.

import Foundation
import NIOCore
import NIOSSL
public import SecretFiles
import Synchronization

/// The files of a server's TLS, all in PEM.
public struct TLSFiles: Sendable, Equatable {
    /// The server's certificate and those between it and a root.
    public var certificate: String
    /// The certificate's private key; mode 0600.
    public var key: String
    /// Whose certificates clients must show; nil: they need none.
    public var clientCA: String?

    /// Names the files.
    public init(certificate: String, key: String, clientCA: String? = nil) {
        self.certificate = certificate
        self.key = key
        self.clientCA = clientCA
    }

    fileprivate var stamps: [FileStamp?] { [certificate, key, clientCA].map { $0.flatMap { FileStamp($0) } } }
}

/// What new connections are encrypted with: TLS 1.2 or 1.3, HTTP/1.1 over it.
public final class TLSIdentity: Sendable {
    private struct State {
        var context: NIOSSLContext
        var stamps: [FileStamp?]
        /// The files were no good at the last look. Who replaces them does it one after the other.
        var isDoubtful = false
    }

    /// Where it comes from.
    public let files: TLSFiles
    private let state: Mutex<State>

    /// Reads the files.
    ///
    /// - Throws: what is wrong with which of them.
    public init(_ files: TLSFiles) throws(SecretFileError) {
        self.files = files
        let stamps = files.stamps
        state = Mutex(State(context: try Self.context(files), stamps: stamps))
    }

    /// For new connections; those that stand keep theirs.
    var context: NIOSSLContext { state.withLock { $0.context } }

    /// Reads the files again if one has changed, or `isAsked`; nil if not. While they are no good all stays as it was.
    func reload(isAsked: Bool) -> Result<Void, SecretFileError>? {
        let stamps = files.stamps
        guard isAsked || state.withLock({ $0.stamps != stamps }) else { return nil }
        let result = Result { () throws(SecretFileError) in try Self.context(files) }
        return state.withLock { state in
            switch result {
            case .success(let context):
                (state.context, state.stamps, state.isDoubtful) = (context, stamps, false)
                return .success(())
            case .failure(let error):
                // Looked at once more before it is called bad.
                state.isDoubtful.toggle()
                if state.isDoubtful, !isAsked { return nil }
                (state.stamps, state.isDoubtful) = (stamps, false)
                return .failure(error)
            }
        }
    }

    private static func context(_ files: TLSFiles) throws(SecretFileError) -> NIOSSLContext {
        let chain = try certificates(files.certificate)
        if let end = chain.first.map({ Date(timeIntervalSince1970: Double($0.notValidAfter)) }), end < Date() {
            throw SecretFileError(files.certificate, "expired on \(end.formatted(.iso8601)): renew it")
        }
        let bytes = try SecretFile.read(files.key, isSecret: true)
        let key: NIOSSLPrivateKey
        do {
            key = try NIOSSLPrivateKey(bytes: Array(bytes), format: .pem)
        } catch {
            throw SecretFileError(files.key, "is no private key in PEM, or has a passphrase, which nobody could type")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        // Who does not answer a goodbye is not waited for.
        configuration.shutdownTimeout = .seconds(1)
        if let path = files.clientCA {
            configuration.trustRoots = .certificates(try certificates(path))
            configuration.certificateVerification = .noHostnameVerification
        }
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw SecretFileError(files.key, "is not the private key of \(files.certificate)")
        }
    }

    private static func certificates(_ path: String) throws(SecretFileError) -> [NIOSSLCertificate] {
        let bytes = try SecretFile.read(path, isSecret: false)
        guard let chain = try? NIOSSLCertificate.fromPEMBytes(Array(bytes)), !chain.isEmpty else {
            throw SecretFileError(path, "holds no certificates in PEM")
        }
        return chain
    }
}
