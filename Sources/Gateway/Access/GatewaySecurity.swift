// What a gateway guards itself with, read again when its files change.

public import Logging

/// A gateway's keys and certificate. Both follow their files: a change holds within a second.
public final class GatewaySecurity: Sendable {
    /// The keys of its clients; nil: everybody may ask.
    let keys: APIKeyFile?
    /// What connections are encrypted with; nil: plain text.
    let tls: TLSIdentity?

    /// No keys, no TLS.
    public static let open = GatewaySecurity(keys: nil, tls: nil)

    /// Either may be nil: no keys are asked for, links are plain text.
    public init(keys: APIKeyFile?, tls: TLSIdentity?) {
        self.keys = keys
        self.tls = tls
    }

    /// What addresses begin with: `http` or `https`.
    public var scheme: String { tls == nil ? "http" : "https" }

    /// Whether there is anything to read again.
    public var hasFiles: Bool { keys != nil || tls != nil }

    /// Reads files that have changed, or with `isAsked` all of them. What is no good is logged as an error, and what
    /// held before holds on.
    public func reload(isAsked: Bool, _ logger: Logger) {
        switch keys?.reload(isAsked: isAsked) {
        case .success(let list):
            logger.info("API keys were read again", metadata: ["keys": "\(list.entries.count)"])
        case .failure(let error):
            logger.error("API keys can't be read again: the old ones hold on", metadata: ["problem": "\(error)"])
        case nil: break
        }
        switch tls?.reload(isAsked: isAsked) {
        case .success: logger.info("the TLS certificate was read again")
        case .failure(let error):
            logger.error(
                "the TLS certificate can't be read again: the old one holds on", metadata: ["problem": "\(error)"])
        case nil: break
        }
    }
}
