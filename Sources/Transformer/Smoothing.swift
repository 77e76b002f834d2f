// Channels that a norm makes far larger than the rest, made bearable for 8 bits.

internal import Compute

/// A row in 8 bits has one scale, so one channel far above the rest costs all others their bits. What a norm's weight has
/// too much in a channel can stand in the weights it is multiplied with instead, half and half as SmoothQuant does it
/// (arXiv 2211.10438): the product stays the same, to the last bit in Float32, as the factors are powers of two.
struct Smoothing {
    /// The norm's weight, without what was taken.
    let norm: Matrix
    /// What the columns of the weights behind the norm are multiplied with; nil: nothing was taken.
    let factors: [Float]?

    /// A channel this many times the median is above the rest.
    private static let outlier: Float = 8

    /// Takes from a norm's weight, `[1, hidden]`, what products of that precision behind it need: only 8 bits do.
    init(of norm: Matrix, before precision: Precision) {
        let ratios = precision == .int8 ? Self.outliers(norm) : []
        guard !ratios.isEmpty else {
            self.norm = norm
            self.factors = nil
            return
        }
        let factors = ratios.map { $0 > 1 ? Float(sign: .plus, exponent: $0.exponent / 2, significand: 1) : 1 }
        let smooth = Matrix(rows: 1, columns: norm.columns)
        norm.withUnsafeBufferPointer { from in
            smooth.withUnsafeMutableBufferPointer { to in
                for channel in to.indices { to[channel] = from[channel] / factors[channel] }
            }
        }
        self.norm = smooth
        self.factors = factors
    }

    /// How many times the median each channel of a norm's weight is, 1 for those that are not above the rest; empty: none
    /// is.
    static func outliers(_ norm: Matrix) -> [Float] {
        let sizes = norm.withUnsafeBufferPointer { $0.map(abs) }
        let median = sizes.sorted()[sizes.count / 2]
        let ratios = sizes.map { size -> Float in
            guard median > 0, (size / median).isFinite, size / median > outlier else { return 1 }
            return size / median
        }
        return ratios.contains { $0 > 1 } ? ratios : []
    }
}
