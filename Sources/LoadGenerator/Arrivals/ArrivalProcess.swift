// How requests come over time, as people write it.

/// How the arrivals of an open loop are distributed over time.
public enum ArrivalProcess: Sendable, Equatable {
    /// Independent exponential gaps: many users who do not know of each other.
    case poisson
    /// Equal gaps.
    case constant
    /// Independent gamma-distributed gaps of this shape, 0.01 to 1000: below 1 they come in bursts, 1 is Poisson, above 1
    /// they even out.
    case gamma(shape: Double)
    /// A Poisson process whose rate goes linearly from the one share of the mean rate to the other, over the window. Both
    /// are at least 0, and their mean is 1.
    case ramp(from: Double, to: Double)
    /// The times of a recorded trace.
    case trace(String)

    /// How far the mean of a ramp's ends may be from 1: people write 0.67-1.33. It is evened out.
    private static let rampTolerance = 0.005

    /// Reads `poisson`, `constant`, `gamma:SHAPE` or `ramp` (from nothing to twice the rate) or `ramp:FROM-TO` (shares
    /// of the rate).
    ///
    /// - Throws: a usage error that lists the names, or the fix.
    public init(parsing text: String) throws(LoadGeneratorError) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        switch (parts.first ?? "", parts.count) {
        case ("poisson", 1): self = .poisson
        case ("constant", 1): self = .constant
        case ("gamma", 2): self = .gamma(shape: Double(parts[1]) ?? .nan)
        case ("ramp", 1): self = .ramp(from: 0, to: 2)
        case ("ramp", 2):
            // Each half must be a number: what is passed over in silence is what was not meant.
            let ends = parts[1].split(separator: "-", omittingEmptySubsequences: false).map { Double($0) ?? .nan }
            self = ends.count == 2 ? .ramp(from: ends[0], to: ends[1]) : .ramp(from: .nan, to: .nan)
        default:
            throw LoadGeneratorError(
                .usage, "'\(text)'", "not a kind of arrivals: write poisson, constant, gamma:SHAPE or ramp:FROM-TO")
        }
        try check(as: text)
    }

    /// Whether it can be drawn; a value made in a program may hold anything.
    ///
    /// - Throws: a usage error that says what the numbers may be.
    func check(as text: String? = nil) throws(LoadGeneratorError) {
        switch self {
        case .gamma(let shape) where !(0.01...1000).contains(shape):
            throw LoadGeneratorError(
                .usage, "'\(text ?? name)'", "a gamma shape is 0.01 to 1000, such as gamma:0.5")
        case .ramp(let from, let to) where !(from >= 0 && to >= 0 && abs((from + to) / 2 - 1) <= Self.rampTolerance):
            throw LoadGeneratorError(
                .usage, "'\(text ?? name)'",
                "a ramp is FROM-TO in shares of the rate, whose mean is 1, such as ramp:0.5-1.5")
        default: break
        }
    }

    /// As it is written on the command line.
    public var name: String {
        switch self {
        case .poisson: "poisson"
        case .constant: "constant"
        case .gamma(let shape): "gamma:\(shape)"
        case .ramp(let from, let to): "ramp:\(from)-\(to)"
        case .trace(let name): "trace:\(name)"
        }
    }
}
