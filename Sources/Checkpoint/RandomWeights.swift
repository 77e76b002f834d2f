// Random numbers for the weights of one tensor.

/// The weights of one tensor, in order: 1 for a norm, else nearly normal with mean 0 and deviation 1 / sqrt(inputs).
struct RandomWeights {
    private var state: UInt64
    /// Of the sum of four 16-bit numbers; nil for a constant 1.
    private let scale: Float?

    init(_ tensor: TensorLayout.Tensor, seed: UInt64, stream: UInt64) {
        state = Self.mix(seed &+ Self.mix(stream))
        if tensor.shape.count == 2 {
            // An embedding is looked up, not multiplied: its only input is 1.
            let inputs = tensor.name.contains("embed_tokens") ? 1 : tensor.shape[1]
            // Four uniform numbers of 0..<65536 add up with a variance of 4 * 65536^2 / 12.
            scale = 1 / (Float(inputs).squareRoot() * 65_536 / Float(3).squareRoot())
        } else {
            scale = nil
        }
    }

    /// The bytes of the next `count` weights, little-endian.
    mutating func next(_ count: Int, _ precision: SyntheticCheckpoint.Precision) -> [UInt8] {
        let size = precision == .bf16 ? 2 : 4
        return [UInt8](unsafeUninitializedCapacity: count * size) { bytes, initialized in
            for index in 0..<count {
                let bits = nextValue().bitPattern
                switch precision {
                case .f32:
                    UnsafeMutableRawBufferPointer(bytes).storeBytes(
                        of: bits.littleEndian, toByteOffset: 4 * index, as: UInt32.self)
                case .bf16:
                    let rounded = (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16
                    UnsafeMutableRawBufferPointer(bytes).storeBytes(
                        of: UInt16(truncatingIfNeeded: rounded).littleEndian, toByteOffset: 2 * index, as: UInt16.self)
                }
            }
            initialized = count * size
        }
    }

    private mutating func nextValue() -> Float {
        guard let scale else { return 1 }
        state &+= 0x9E37_79B9_7F4A_7C15
        let z = Self.mix(state)
        let sum = Int32(z & 0xFFFF) + Int32(z >> 16 & 0xFFFF) + Int32(z >> 32 & 0xFFFF) + Int32(z >> 48)
        return (Float(sum) - 131_070) * scale
    }

    /// The SplitMix64 finaliser.
    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
