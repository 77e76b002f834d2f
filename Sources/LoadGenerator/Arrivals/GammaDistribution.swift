// Gamma-distributed numbers.

import Foundation

extension SplitMix64 {
    /// A gamma-distributed number of this shape and scale 1 (Marsaglia and Tsang, "A simple method for generating gamma
    /// variables", 2000; shapes below 1 by their boost).
    mutating func gamma(shape: Double) -> Double {
        guard shape >= 1 else { return gamma(shape: shape + 1) * pow(unit(), 1 / shape) }
        let depth = shape - 1.0 / 3
        let scale = 1 / (9 * depth).squareRoot()
        while true {
            // Box and Muller's normal.
            let normal = (-2 * log(unit())).squareRoot() * cos(2 * .pi * unit())
            let base = 1 + scale * normal
            guard base > 0 else { continue }
            let cube = base * base * base
            if log(unit()) < normal * normal / 2 + depth - depth * cube + depth * log(cube) { return depth * cube }
        }
    }
}
