// How a command shows a server who it is, and knows the server.

import ArgumentParser
import Foundation
import Gateway
import SecretFiles

/// A key and certificates, both in files: what stands on a command line everybody on the host can read.
struct ClientCredentials: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Send the key in this file, which others may not read, as a bearer token. (default: the environment variable "
                + "WINNOW_API_KEY)", valueName: "file"))
    var apiKeyFile: String?

    @Option(help: ArgumentHelp("Trust the certificates in this PEM file as well.", valueName: "file"))
    var caFile: String?

    /// The key to send; nil: none.
    ///
    /// - Throws: what is wrong with the file; said on standard error.
    func key() throws -> String? {
        guard let apiKeyFile else { return ProcessInfo.processInfo.environment["WINNOW_API_KEY"] }
        do throws(SecretFileError) {
            let text = String(decoding: try SecretFile.read(apiKeyFile, isSecret: true), as: UTF8.self)
                .trimmingCharacters(in: .whitespacesAndNewlines)
            guard (1...1024).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
                throw SecretFileError(apiKeyFile, "holds no key: one line of visible ASCII")
            }
            return text
        } catch {
            throw Console.failure(.badData, "\(error)")
        }
    }
}
