import ArgumentParser
import Checkpoint
import Compute
import Foundation

/// Threads and the CPUs they run on.
struct ComputeOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Compute threads.", valueName: "n"))
    var threads = 1

    @Option(help: ArgumentHelp("CPUs to stay on, e.g. 0,2-3. Default: any.", valueName: "list"))
    var cpus: CPUList?

    @Option(
        help: ArgumentHelp(
            "Number formats: f32, bf16 or int8 weights; auto: bf16 where the CPU has vector kernels for it.",
            valueName: "type"))
    var dtype = PrecisionChoice.auto

    @Option(
        help: ArgumentHelp(
            "Compute as a lesser CPU would: the most instructions to use. Default: $WINNOW_CPU_LEVEL, or all there are.",
            valueName: "level"))
    var cpuLevel: CPULevel?

    @Option(
        help: ArgumentHelp(
            "Where weights that were quantised to int8 are kept for the next start; none: nowhere. Default: "
                + "winnow/weights in $XDG_CACHE_HOME or ~/.cache.", valueName: "dir|none"))
    var weightsCache: String?

    /// The directory where packed weights are kept; nil: nowhere.
    var weightsCacheDirectory: String? {
        switch weightsCache {
        case "none": nil
        case let directory?: directory
        case nil: WeightsCache.defaultDirectory(environment: ProcessInfo.processInfo.environment)
        }
    }

    /// Keeps this process on the CPUs asked for, and to the instructions; before anything computes.
    func prepare() throws {
        do {
            try CPULevel.cap(at: cpuLevel)
        } catch {
            throw Console.failure(.usage, "\(error)")
        }
        guard let cpus, let problem = ThreadPool.pinProcess(to: cpus.cpus) else { return }
        throw Console.failure(
            .usage,
            "cannot stay on --cpus \(cpus.defaultValueDescription): \(problem); `taskset -p $$` shows which there are")
    }

    func validate() throws {
        guard (1...1024).contains(threads) else {
            throw ValidationError("--threads must be 1 to 1024, found \(threads)")
        }
        if weightsCache?.isEmpty == true {
            throw ValidationError("--weights-cache must name a directory, or be none")
        }
        if let cpuLevel, cpuLevel > .best {
            throw ValidationError("--cpu-level: \(CPULevelError.lacking(cpuLevel))")
        }
    }
}

/// What `--dtype` takes.
enum PrecisionChoice: String, ExpressibleByArgument, CaseIterable {
    case auto, f32, bf16, int8

    /// The formats it stands for on this CPU.
    var precision: Precision { Precision(rawValue: rawValue) ?? .automatic }
}

extension CPULevel: ExpressibleByArgument {}

/// CPU numbers as `taskset` writes them: `0,2-3`.
struct CPUList: ExpressibleByArgument {
    var cpus: [Int]

    init?(argument: String) {
        var cpus: [Int] = []
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2, first >= 0,
                first <= last, last < 4096
            else { return nil }
            cpus += first...last
        }
        self.cpus = cpus
    }

    var defaultValueDescription: String { cpus.map(String.init).joined(separator: ",") }
}

/// Layers as `first-last`, both included: `0-4`.
struct LayerList: ExpressibleByArgument {
    /// `nil`: as the coordinator divides them by how fast hosts are.
    var layers: Range<Int>?

    init?(argument: String) {
        guard argument != "auto" else {
            layers = nil
            return
        }
        let ends = argument.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2, first >= 0, first <= last,
            last < 1 << 20
        else { return nil }
        layers = first..<last + 1
    }
}
