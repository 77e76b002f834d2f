// Network errors as one line a person can act on.

import AsyncHTTPClient

/// Puts the errors of the HTTP client into words.
enum ConnectionProblem {
    /// One line, without addresses and type names.
    static func text(of error: any Error) -> String {
        switch error {
        case let error as HTTPClientError where error == .connectTimeout:
            "no connection within the time limit: is the host right, and not behind a firewall?"
        case let error as HTTPClientError where error == .deadlineExceeded:
            "no answer within the time limit"
        case let error as HTTPClientError where error == .remoteConnectionClosed:
            "the server closed the connection"
        case let error as HTTPClientError:
            error.shortDescription
        default:
            socketProblem(String(describing: error))
        }
    }

    /// The socket layer's errors say the operation, the reason and its number, once per address that was tried.
    private static func socketProblem(_ description: String) -> String {
        let reasons = [
            (
                "CERTIFICATE_VERIFY_FAILED",
                "the server's certificate is not trusted: name it with --ca-file, or use --insecure"
            ),
            ("WRONG_VERSION_NUMBER", "the server does not speak TLS: write http:// instead of https://"),
            ("Connection refused", "connection refused: is the server running there?"),
            ("UnknownHost", "unknown host name"),
            ("Network is unreachable", "network unreachable"),
            ("No route to host", "no route to host"),
            ("Too many open files", "too many open files: raise the limit with ulimit -n"),
            ("reset by peer", "the server reset the connection"),
            ("Broken pipe", "the server closed the connection"),
            ("Cannot assign requested address", "no free local port: too many connections"),
        ]
        let known = reasons.first { description.contains($0.0) }
        return known?.1 ?? String(description.prefix(200)).split(separator: "\n").joined(separator: " ")
    }
}
