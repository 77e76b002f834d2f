// `winnow keys api`: who may use the API.

import ArgumentParser
import Foundation
import Gateway
import OutsideText
import SecretFiles

struct KeysAPICommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "api",
        abstract: "Make, list and revoke the keys that API clients show.",
        discussion: """
            A key is printed once, when it is made; the file holds salted hashes. A coordinator follows its file: what is made \
            may ask, what is revoked is refused, without a restart. A name may have several keys, so that one can take over \
            from another. Clients send a key as OpenAI's clients do, `Authorization: Bearer KEY`.

              winnow keys api new alice > alice.key
              winnow keys api new grafana --operator > grafana.key      # metrics, status and page too
              winnow coordinator --model BIG --api-keys api-keys ...
              winnow keys api revoke alice
            """,
        subcommands: [New.self, List.self, Revoke.self])

    /// The file all of them work on.
    struct Place: ParsableArguments {
        @Option(help: ArgumentHelp("The file with the keys' hashes.", valueName: "file"))
        var file = "api-keys"

        /// The keys; none where there is no file yet.
        func list() throws(SecretFileError) -> APIKeyList {
            access(file, F_OK) == 0 || errno != ENOENT ? try APIKeyList(path: file) : APIKeyList()
        }
    }

    static func failed(_ error: SecretFileError) -> ExitCode { Console.failure(.badData, "\(error)") }

    /// `winnow keys api new`
    struct New: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "new",
            abstract: "Make a key, put its hash into the file, and print it: it can't be shown again.")

        @Argument(help: ArgumentHelp("Whose key it is, for log, list and metrics.", valueName: "name"))
        var name: String
        @OptionGroup var place: Place
        @Option(help: ArgumentHelp("The most requests per minute.", valueName: "n"))
        var requestsPerMinute: Int?
        @Option(help: ArgumentHelp("The most requests answered at a time.", valueName: "n"))
        var concurrentRequests: Int?
        @Option(help: ArgumentHelp("The most tokens per minute, of prompts and answers together.", valueName: "n"))
        var tokensPerMinute: Int?
        @Option(help: ArgumentHelp("When it ends to hold, YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ.", valueName: "time"))
        var expires: String?
        @Flag(help: "It opens metrics, status and page too.")
        var `operator` = false

        func validate() throws {
            guard APIKeyList.isName(name) else {
                throw ValidationError("a name is 1 to 64 letters, digits, '-', '_', '.', '@'; found '\(name.shown)'")
            }
            let range = APIKeyList.Limits.range
            for (flag, value) in [
                ("requests-per-minute", requestsPerMinute), ("concurrent-requests", concurrentRequests),
                ("tokens-per-minute", tokensPerMinute),
            ] {
                guard let value, !range.contains(value) else { continue }
                throw ValidationError("--\(flag) must be \(range.lowerBound) to \(range.upperBound), found \(value)")
            }
            if let expires, APIKeyList.Limits.time(expires) == nil {
                throw ValidationError(
                    "--expires must be a time such as 2027-01-31 or 2027-01-31T12:00:00Z, found '\(expires.shown)'")
            }
        }

        func run() throws {
            do throws(SecretFileError) {
                var list = try place.list()
                let limits = APIKeyList.Limits(
                    requestsPerMinute: requestsPerMinute, concurrentRequests: concurrentRequests,
                    tokensPerMinute: tokensPerMinute, expiry: expires.flatMap(APIKeyList.Limits.time),
                    isOperator: `operator`)
                let key = try list.add(name, limits)
                try list.write(to: place.file)
                Console.say(key)
            } catch {
                throw failed(error)
            }
        }
    }

    /// `winnow keys api list`
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "Show whose keys there are, their ids and limits; never the keys.")

        @OptionGroup var place: Place

        func run() throws {
            do throws(SecretFileError) {
                for entry in try APIKeyList(path: place.file).entries {
                    let name = entry.name + String(repeating: " ", count: max(0, 24 - entry.name.count))
                    Console.say(([name, entry.id] + entry.limits.words).joined(separator: " "))
                }
            } catch {
                throw failed(error)
            }
        }
    }

    /// `winnow keys api revoke`
    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "revoke", abstract: "Take keys out of the file, by name (all of that name) or by id.")

        @Argument(help: ArgumentHelp("Names or ids as `winnow keys api list` shows them.", valueName: "name|id"))
        var names: [String]
        @OptionGroup var place: Place

        func run() throws {
            do throws(SecretFileError) {
                var list = try APIKeyList(path: place.file)
                for name in names where list.revoke(name) == 0 {
                    throw SecretFileError(
                        place.file, "has no key of \"\(name.shown)\"; `winnow keys api list` shows them")
                }
                try list.write(to: place.file)
            } catch {
                throw failed(error)
            }
        }
    }
}
