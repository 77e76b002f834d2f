// The instruction set that computes, and the cap on it.

internal import CKernels
internal import Glibc

/// What instructions the kernels of this process may use, from least to most. A CPU that has a level has all below it.
///
/// Without a cap it is the best that the CPU has. A cap makes this process compute as a lesser host would, oneDNN and
/// OpenBLAS included; the environment variable WINNOW_CPU_LEVEL sets one too.
package enum CPULevel: String, Sendable, CaseIterable, Comparable {
    /// Plain C, for any CPU.
    case portable
    /// AVX2, FMA and F16C.
    case avx2
    /// AVX-512 F, DQ, BW and VL.
    case avx512
    /// With products of 8-bit numbers.
    case avx512vnni
    /// With products of bf16 numbers.
    case avx512bf16

    /// The environment variable that caps the level.
    package static let variable = "WINNOW_CPU_LEVEL"

    /// The best that this CPU has.
    package static var best: CPULevel { CPULevel(winnow_cpu_level()) }

    /// Whether a product's row in bf16 or int8 is the same to the last bit however many columns the weights are cut into.
    ///
    /// With AVX-512 but without its bf16 instructions products are Float32's, whose order of sums depends on the shape.
    package var keepsSumsOfShares: Bool { self != .avx512 && self != .avx512vnni }

    /// The levels that this CPU has.
    package static var possible: [CPULevel] { allCases.filter { $0 <= best } }

    /// The level in use. Whoever asks first, or computes, settles it for the process.
    package static var inUse: CPULevel { CPULevel(winnow_level_in_use()) }

    /// Whether ``inUse`` was asked for.
    package static var isCapped: Bool { winnow_level_is_capped() != 0 }

    /// Caps the level of this process, before anything has computed.
    ///
    /// - Parameter level: the cap; nil: what the environment says, if anything.
    /// - Throws: ``CPULevelError``: a level that the CPU lacks, a word in the environment that names none, or a process that
    ///   computes at another level already.
    package static func cap(at level: CPULevel?) throws(CPULevelError) {
        var asked = winnow_level_reference
        guard let level else {
            switch winnow_level_of_environment(&asked) {
            case 0: guard CPULevel(asked) <= best else { throw .lacking(CPULevel(asked)) }
            case 1: break
            default: throw .unknown(getenv(variable).map { String(cString: $0) } ?? "")
            }
            return
        }
        guard level <= best else { throw .lacking(level) }
        guard winnow_level_cap(level.kernels) == 0 else { throw .settled(inUse) }
    }

    package static func < (one: CPULevel, other: CPULevel) -> Bool { one.kernels.rawValue < other.kernels.rawValue }

    init(_ level: winnow_level) {
        self =
            switch level {
            case winnow_level_avx512_bf16: .avx512bf16
            case winnow_level_avx512_vnni: .avx512vnni
            case winnow_level_avx512: .avx512
            case winnow_level_avx2: .avx2
            default: .portable
            }
    }

    private var kernels: winnow_level {
        switch self {
        case .portable: winnow_level_reference
        case .avx2: winnow_level_avx2
        case .avx512: winnow_level_avx512
        case .avx512vnni: winnow_level_avx512_vnni
        case .avx512bf16: winnow_level_avx512_bf16
        }
    }
}

/// Why the level cannot be capped so.
package enum CPULevelError: Error, CustomStringConvertible {
    /// The CPU does not have it.
    case lacking(CPULevel)
    /// What WINNOW_CPU_LEVEL holds names no level.
    case unknown(String)
    /// The process computes at this one already.
    case settled(CPULevel)

    package var description: String {
        let possible = CPULevel.possible.map(\.rawValue).joined(separator: ", ")
        return switch self {
        case .lacking(let level): "this CPU has no level \(level.rawValue); possible here: \(possible)"
        case .unknown(let word):
            "\(CPULevel.variable) is '\(word.prefix(80))', which is no level; possible here: \(possible)"
        case .settled(let level): "this process computes at level \(level.rawValue) already"
        }
    }
}
