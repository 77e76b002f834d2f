// How prompts are pruned, unless a request says otherwise.

public import ArgumentParser
import Settings
public import Speculation

/// The flags of a command that prunes in its own process.
struct SpeculationOptions: ParsableArguments {
    private struct Flags: SettingOwner {
        static let process = Setting.Process.bench
        static let hasDocument = false
        static func has(_ setting: Setting) -> Bool { setting.homes.contains(.speculation) }
    }

    @OptionGroup private var flags: SettingFlags<Flags>

    var parameters: SpeculationParameters { SpeculationParameters(flags.said) }
}

extension SpeculationParameters {
    /// What `values` say, and else the defaults.
    init(_ values: SettingValues) {
        self.init()
        if let rate = values.number("keep_rate") { keepRate = rate }
        if let mode = values.text("selection").flatMap({ SelectionMode(rawValue: $0) }) { selection = mode }
        func take(_ name: String, _ field: WritableKeyPath<Self, Int>) {
            if let count = values.integer(name) { self[keyPath: field] = count }
        }
        take("look_ahead", \.lookAhead)
        take("chunk", \.chunk)
        take("stride", \.stride)
        take("pool", \.pool)
        take("tail", \.tail)
        take("threshold", \.threshold)
        if let mode = values.text("speculator_attention").flatMap({ SpeculatorAttention(rawValue: $0) }) {
            attention = mode
        }
        if let share = values.number("speculator_most_keys") { mostKeys = share }
    }
}

extension SelectionMode: ExpressibleByArgument {}
