// How rotary frequencies are stretched for contexts longer than those of pre-training.

internal import Glibc

/// The `rope_scaling` of a configuration.
public enum RopeScaling: Sendable, Equatable {
    /// All frequencies divided by `factor` (position interpolation, Chen et al. 2023).
    case linear(factor: Double)
    /// Llama 3.1: long wavelengths divided by `factor`, short ones left, a smooth passage between.
    case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalContext: Int)
    /// Each pair's frequency divided by a factor of its own, `headDim / 2` of them: how GGUF files say the above.
    case factors([Double])
}

extension ModelConfiguration {
    /// Radians per position for each rotated pair of a head, `headDim / 2` of them, after scaling.
    public var rotaryFrequencies: [Double] {
        (0..<headDim / 2).map { pair in
            let frequency = pow(ropeTheta, -2 * Double(pair) / Double(headDim))
            switch ropeScaling {
            case nil:
                return frequency
            case .linear(let factor):
                return frequency / factor
            case .factors(let factors):
                return frequency / factors[pair]
            case .llama3(let factor, let low, let high, let context):
                let turns = Double(context) * frequency / (2 * .pi)
                if turns < low { return frequency / factor }
                if turns > high { return frequency }
                let smooth = (turns - low) / (high - low)
                return (1 - smooth) * frequency / factor + smooth * frequency
            }
        }
    }
}
