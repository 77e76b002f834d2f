// `winnow settings`: what the table of settings becomes outside the program. Hidden: for the README's author and its test.

import ArgumentParser
import Settings

struct SettingsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "settings", abstract: "Write the tables of settings, in Markdown.", shouldDisplay: false)

    @Argument(help: "coordinator, worker, or topology: its keys by place.")
    var table: String

    func validate() throws {
        guard table == "topology" || ["coordinator", "worker"].contains(table) else {
            throw ValidationError("there is no table '\(table)'; write coordinator, worker or topology")
        }
    }

    func run() {
        let text = Setting.Process(rawValue: table).map(Setting.table(of:)) ?? Setting.topologyTable
        Console.write(text)
    }
}
