// `winnow keys`: who may take part in a cluster.

public import ArgumentParser
import Foundation
import OutsideText
public import Wire

struct KeysCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys",
        abstract: "Make, list, add and revoke the keys of a cluster's processes, and of its API clients.",
        discussion: """
            Every process has a key. The coordinator's folder holds its own (coordinator.key), those made here for workers \
            (NAME.key), and the list of whose keys may join (allowed). Links are then encrypted and authenticated both \
            ways (CurveZMQ): a worker serves its coordinator alone, a coordinator takes only workers on its list, a stage \
            only its neighbours.

              winnow keys new worker-0 worker-1 scorer=speculator --dir keys
              winnow coordinator --model BIG --keys keys --listen tcp://0.0.0.0:5700 ...
              scp keys/worker-0.key b:             # the one file that worker needs; nobody else may have it
              b$ winnow worker --model BIG --key worker-0.key --name worker-0 --coordinator tcp://a:5700 ...

            A coordinator that runs follows its list: what is added may join, what is revoked is cut off, without a restart. \
            Files with secrets have mode 0600 and are refused where others may read them. winnow launch makes keys of its \
            own for each launch, unless its file names a folder.

            Keys of API clients are another matter: see `winnow keys api`.
            """,
        subcommands: [New.self, List.self, Add.self, Revoke.self, KeysAPICommand.self])

    /// The folder all of them work in.
    struct Folder: ParsableArguments {
        @Option(help: ArgumentHelp("The folder with the cluster's keys.", valueName: "dir"))
        var dir = "keys"

        var folder: KeyFolder { KeyFolder(path: dir) }
    }

    static func failed(_ error: KeyError) -> ExitCode { Console.failure(.badData, "\(error)") }

    /// `winnow keys new`
    struct New: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "new", abstract: "Make keys, and put them on the list; the coordinator's too if it has none.")

        @Argument(
            help: ArgumentHelp(
                "Workers' names, NAME or NAME=speculator; one that ends in * is for all whose names begin so.",
                valueName: "name"))
        var names: [Worker] = []
        @OptionGroup var place: Folder

        /// `NAME` or `NAME=ROLE`.
        struct Worker: ExpressibleByArgument {
            var name: String
            var role: WorkerRole

            init?(argument: String) {
                let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                guard AllowList.isName(parts[0]), parts[0] != KeyFolder.coordinator,
                    let role = parts.count == 1 ? .stage : WorkerRole(rawValue: String(parts[1]))
                else { return nil }
                (name, self.role) = (String(parts[0]), role)
            }
        }

        func run() throws {
            do throws(KeyError) {
                try place.folder.prepare()
                for worker in names { try place.folder.make(worker.name, role: worker.role) }
            } catch {
                throw failed(error)
            }
        }
    }

    /// `winnow keys list`
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "list", abstract: "Show whose keys may join.")

        @OptionGroup var place: Folder
        @Flag(help: "Print one JSON object.")
        var json = false

        private struct Listing: Encodable {
            struct Entry: Encodable {
                var role: String
                var name: String
                var key: String
                /// Its secret lies in the folder.
                var hasSecret: Bool
            }
            var coordinator: String
            var workers: [Entry]
        }

        func run() throws {
            let folder = place.folder
            let listing: Listing
            do throws(KeyError) {
                let own = try KeyFile(path: folder.keyPath(KeyFolder.coordinator))
                let list = try AllowList(path: folder.listPath)
                listing = Listing(
                    coordinator: own.pair.publicKey.description,
                    workers: list.entries.map { entry in
                        Listing.Entry(
                            role: entry.role.rawValue, name: entry.name, key: entry.key.description,
                            hasSecret: FileManager.default.fileExists(atPath: folder.keyPath(entry.name)))
                    })
            } catch {
                throw failed(error)
            }
            if json {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.sortedKeys]
                encoder.keyEncodingStrategy = .convertToSnakeCase
                Console.say(String(decoding: try encoder.encode(listing), as: UTF8.self))
                return
            }
            Console.say("\(pad("coordinator", 12))\(pad("", 24)) \(listing.coordinator)")
            for entry in listing.workers {
                Console.say("\(pad(entry.role, 12))\(pad(entry.name, 24)) \(entry.key)")
            }
        }

        private func pad(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(0, width - text.count))
        }
    }

    /// `winnow keys add`
    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "add", abstract: "Put a public key that was made elsewhere on the list.")

        @Argument(help: ArgumentHelp("The worker's name.", valueName: "name"))
        var name: String
        @Argument(help: ArgumentHelp("Its public key, 64 hexadecimal digits.", valueName: "key"))
        var key: String
        @Option(help: ArgumentHelp("stage or speculator.", valueName: "role"))
        var role: WorkerRole = .stage
        @OptionGroup var place: Folder

        func validate() throws {
            guard AllowList.isName(name) else {
                throw ValidationError(
                    "a name is 1 to 64 letters, digits, '-', '_', '.', and may end in '*'; found '\(name.shown)'")
            }
            guard PublicKey(key) != nil else {
                throw ValidationError("a key is 64 hexadecimal digits, found '\(key.shown)'")
            }
        }

        func run() throws {
            guard let key = PublicKey(key) else { return }
            do throws(KeyError) {
                var list = try AllowList(path: place.folder.listPath)
                list.add(AllowList.Entry(role: role, name: name, key: key))
                try list.write(to: place.folder.listPath)
            } catch {
                throw failed(error)
            }
        }
    }

    /// `winnow keys revoke`
    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "revoke",
            abstract: "Take names' keys off the list, and delete their secrets that lie in the folder.")

        @Argument(help: ArgumentHelp("Names as they stand in the list.", valueName: "name"))
        var names: [String]
        @OptionGroup var place: Folder

        func run() throws {
            do throws(KeyError) {
                for name in names where try place.folder.revoke(name) == 0 {
                    throw .file(place.folder.listPath, "has no key of \"\(name.shown)\"; `winnow keys list` shows them")
                }
            } catch {
                throw failed(error)
            }
        }
    }
}

extension WorkerRole: ExpressibleByArgument {}
