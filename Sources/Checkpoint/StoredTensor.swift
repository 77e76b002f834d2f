// A tensor where it lies: in a mapped file, in the form the file has it.

/// How the values of a tensor are written.
enum WeightEncoding: Sendable {
    case f32, f16, bf16
    /// Signed bytes; row by row they are multiplied by a scale of their own, in another tensor.
    case int8
    /// ggml's blocks; see ``BlockDecoding``.
    case q80, q40, q41, q50, q51, q2K, q3K, q4K, q5K, q6K, iq4NL, iq4XS

    /// Values in one block and the bytes of one block, of which a row has a whole number.
    var block: (values: Int, bytes: Int) {
        switch self {
        case .f32: (1, 4)
        case .f16, .bf16: (1, 2)
        case .int8: (1, 1)
        case .q80: (32, 34)
        case .q40, .iq4NL: (32, 18)
        case .q41: (32, 20)
        case .q50: (32, 22)
        case .q51: (32, 24)
        case .q2K: (256, 84)
        case .q3K: (256, 110)
        case .q4K: (256, 144)
        case .q5K: (256, 176)
        case .iq4XS: (256, 136)
        case .q6K: (256, 210)
        }
    }
}

/// One tensor of a model.
struct StoredTensor: Sendable {
    /// The file it is in.
    let file: MappedFile
    /// The type as the file names it ("BF16").
    let typeName: String
    /// How its values are written; nil for a type that cannot be read.
    let encoding: WeightEncoding?
    /// `[outputs, inputs]`, or `[values]`.
    let shape: [Int]
    /// Its bytes in the file, checked to lie inside it and to fit type and shape.
    let bytes: Range<Int>
    /// Values per head if the rows of each head are stored in the order of interleaved rotation: the halves' rows
    /// alternate. Nil if rows are in Hugging Face's order.
    var interleavedHeadDim: Int?

    /// The stored row of row `row`, which is in Hugging Face's order: of a head's first half row b is stored at 2b, of
    /// its second half at 2b + 1.
    func storedRow(_ row: Int) -> Int {
        guard let headDim = interleavedHeadDim else { return row }
        let (head, inHead) = row.quotientAndRemainder(dividingBy: headDim)
        let (half, pair) = inHead.quotientAndRemainder(dividingBy: headDim / 2)
        return head * headDim + 2 * pair + half
    }
}
