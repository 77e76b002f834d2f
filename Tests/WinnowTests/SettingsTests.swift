// What the table of settings says agrees with what it is read from and with what is written about it.

import Foundation
import Gateway
import Settings
import Speculation
import Testing

extension EndToEnd {
    @Suite("Settings", .timeLimit(.minutes(1)))
    struct SettingsTests {
        @Test(arguments: ["topology", "coordinator", "worker"]) func theREADMEHasTheTable(name: String) async throws {
            let table = try await Program.run(["settings", name]).output.joined(separator: "\n")
            let readme = try String(contentsOfFile: Package.file("README.md"), encoding: .utf8)
            #expect(table.hasPrefix("| "))
            #expect(readme.contains(table), "README.md lacks the table that `winnow settings \(name)` writes")
        }

        @Test func theSchemaHasEveryKey() async throws {
            let text = try await Program.run(["launch", "--schema"]).output.joined(separator: "\n")
            let schema = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
            let properties = try #require(schema["properties"] as? [String: Any])
            for setting in Setting.all(in: .top) { #expect(properties[setting.name] != nil) }
            #expect(schema["required"] as? [String] == ["model", "pipelines"])
        }

        /// The libraries have defaults of their own, for who uses them without the command.
        @Test func theDefaultsAreTheLibraries() {
            let (values, defaults, limits) = (SettingValues(.coordinator), SpeculationParameters(), GatewayLimits())
            #expect(values.number("keep_rate") == defaults.keepRate)
            #expect(values.number("speculator_most_keys") == defaults.mostKeys)
            #expect(values.text("selection") == defaults.selection.rawValue)
            #expect(values.text("speculator_attention") == defaults.attention.rawValue)
            for (name, value) in [
                ("look_ahead", defaults.lookAhead), ("chunk", defaults.chunk), ("stride", defaults.stride),
                ("pool", defaults.pool), ("tail", defaults.tail), ("threshold", defaults.threshold),
                ("max_body_bytes", limits.bodyBytes), ("max_connections", limits.connections),
                ("max_connections_per_address", limits.connectionsPerAddress),
            ] {
                #expect(values.integer(name) == value, "\(name)")
            }
        }
    }
}
