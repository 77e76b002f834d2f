// What a GGUF file says about one tensor, and the element types it may use.

/// One tensor of a GGUF file.
public struct GGUFTensor: Sendable, Equatable {
    /// The tensor's name, `token_embd.weight` for instance.
    public let name: String
    /// Sizes, fastest-varying dimension first (the reverse of a row-major shape), 1 to 4 of them.
    public let dimensions: [Int]
    /// The element type.
    public let type: GGUFTensorType
    /// Where its bytes begin, counted from the start of the file.
    public let offset: Int
    /// How many bytes it takes; nil when the element type is one this reader does not know.
    public let byteCount: Int?

    /// The number of elements.
    public var elementCount: Int { dimensions.reduce(1, *) }
}

/// A ggml element type: its code in the file, its name and how its elements are packed.
public struct GGUFTensorType: Sendable, Equatable, CustomStringConvertible {
    /// The code in the file.
    public let code: UInt32

    /// Names the type with this code.
    public init(code: UInt32) {
        self.code = code
    }

    /// The name ggml gives it, or `type N`.
    public var description: String {
        Self.known[code]?.name ?? "type \(code)"
    }

    /// Elements in one block and the bytes of one block; nil for an unknown type.
    public var block: (elements: Int, bytes: Int)? {
        Self.known[code].map { ($0.elements, $0.bytes) }
    }

    /// ggml's types: code, name, elements in a block, bytes of a block. Codes that are absent were withdrawn.
    private static let known: [UInt32: (name: String, elements: Int, bytes: Int)] = [
        0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
        7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
        12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
        16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
        20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
        24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
        29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
        39: ("MXFP4", 32, 17),
    ]
}
