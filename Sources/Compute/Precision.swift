// The number formats a model is computed in.

/// How weights, activations and the KV cache are held, and how they are multiplied. The residual stream, sums and
/// softmax are Float32 in every case.
public enum Precision: String, Sendable, CaseIterable {
    /// Float32 throughout, by OpenBLAS: the reference.
    case f32
    /// 16 bits a weight, KV cache in bf16. Where the CPU multiplies bf16, weights and activations are rounded to it. With
    /// AVX2 both are in fixed point with a scale for every 512 inputs, which rounds six times finer; elsewhere weights
    /// are bf16 and activations stay Float32.
    case bf16
    /// Weights in 8 bits with a scale per output, activations in 8 bits with a scale per row, KV cache in bf16. The
    /// output head is as in ``bf16``, and so are the products that 8 bits would cost most: see ``finer``. With AVX-512 VNNI
    /// the attention of a prompt's rows is in 8 bits too, with a scale for every query, key and row of values: of what 8
    /// bits lose in all that is less than a tenth.
    case int8

    /// What layers of this precision project values in, and queries and keys behind a norm that has outlier channels: 16
    /// bits instead of 8.
    ///
    /// Rounding of values passes into the residual stream as it is: of SmolLM2-135M these weights, a fortieth of a
    /// layer's, would make 30 % of what 8 bits lose (mean KL of the next token 0.020 without them, 0.029 with), those of
    /// queries and keys, three times as many, make 16 to 23 %. But behind outliers it is they that lose most, for it goes
    /// through an exponential. With AVX-512 but no bf16 instructions all stay in 8 bits: 16 are multiplied as Float32
    /// there, which the 8-bit instructions have up to four times the rate of.
    package var finer: Precision {
        let staysInt8 = CPULevel.avx512 <= CPULevel.inUse && CPULevel.inUse < .avx512bf16
        return self == .int8 && !staysInt8 ? .bf16 : self
    }

    /// The best for this CPU that loses nothing a bf16 checkpoint has: ``bf16`` where there are vector kernels for it.
    public static var automatic: Precision { CPULevel.inUse == .portable ? .f32 : .bf16 }

    /// Bytes of a value in the KV cache.
    public var cacheValueBytes: Int { self == .f32 ? 4 : 2 }
}
