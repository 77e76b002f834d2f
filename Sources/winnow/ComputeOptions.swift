// Threads, the CPUs they run on, and what they compute in.

import ArgumentParser
import Checkpoint
import Compute
import Foundation
import Settings

/// What a process is told about its computing.
struct ComputeSettings {
    /// At least 1.
    let threads: Int
    /// The CPUs to stay on; nil: any.
    let cpus: [Int]?
    /// Number formats.
    let precision: Precision
    /// The most instructions to use; nil: $WINNOW_CPU_LEVEL, or all there are.
    let cpuLevel: CPULevel?

    init(_ values: SettingValues) {
        threads = values.integer("threads") ?? 1
        cpus = values.numbers("cpus")
        precision = values.text("dtype").flatMap { Precision(rawValue: $0) } ?? .automatic
        cpuLevel = values.text("cpu_level").flatMap { CPULevel(rawValue: $0) }
    }

    /// Keeps this process on the CPUs asked for, and to the instructions; before anything computes.
    func prepare() throws {
        do {
            try CPULevel.cap(at: cpuLevel)
        } catch {
            throw Console.failure(.usage, "\(error)")
        }
        guard let cpus, let problem = ThreadPool.pinProcess(to: cpus) else { return }
        let list = cpus.map(String.init).joined(separator: ",")
        throw Console.failure(
            .usage, "cannot stay on --cpus \(list): \(problem); `taskset -p $$` shows which there are")
    }
}

/// The flags of a command that computes in its own process.
struct ComputeOptions: ParsableArguments {
    private struct Flags: SettingOwner {
        static let process = Setting.Process.bench
        static let hasDocument = false
        static func has(_ setting: Setting) -> Bool { !setting.homes.contains(.speculation) }
    }

    @OptionGroup private var flags: SettingFlags<Flags>

    private var settings: ComputeSettings { ComputeSettings(flags.said) }
    var threads: Int { settings.threads }
    var cpus: [Int]? { settings.cpus }
    var precision: Precision { settings.precision }

    /// Before anything computes; see ``ComputeSettings/prepare()``.
    func prepare() throws { try settings.prepare() }
}

/// The flag of a command that keeps weights for its next start.
struct WeightsCacheOption: ParsableArguments {
    private struct Flags: SettingOwner {
        static let process = Setting.Process.generate
        static let hasDocument = false
        static func has(_ setting: Setting) -> Bool { setting.name == "weights_cache" }
    }

    @OptionGroup private var flags: SettingFlags<Flags>

    var directory: String? { flags.said.weightsCache }
}

extension SettingValues {
    /// The directory where packed weights are kept; nil: nowhere.
    var weightsCache: String? {
        switch text("weights_cache") {
        case SettingKind.noFolder: nil
        case let directory?: directory
        case nil: WeightsCache.defaultDirectory(environment: ProcessInfo.processInfo.environment)
        }
    }
}

/// What the load generator's `--dtype` takes.
enum PrecisionChoice: String, ExpressibleByArgument, CaseIterable {
    case auto, f32, bf16, int8

    /// The formats it stands for on this CPU.
    var precision: Precision { Precision(rawValue: rawValue) ?? .automatic }
}

extension CPULevel: ExpressibleByArgument {}
