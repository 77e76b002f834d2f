import Compute
import Wire

/// Hidden rows as bytes of the wire and back. The bytes' order is little-endian, as is every host's that this runs on.
enum HiddenRows {
    /// Reads `values.count` values.
    static func read(_ bytes: UnsafeRawBufferPointer, as type: WireType, into values: UnsafeMutableBufferPointer<Float>)
    {
        switch type {
        case .f32: UnsafeMutableRawBufferPointer(values).copyMemory(from: bytes)
        case .bf16:
            if let base = bytes.baseAddress { Kernels.widenBF16(base, into: values) }
        }
    }

    /// Rounds to the nearest bf16, ties to even; a value that is not a number stays one.
    static func narrow(_ values: UnsafeBufferPointer<Float>, into bytes: UnsafeMutableRawBufferPointer) {
        for index in values.indices {
            let bits = values[index].bitPattern
            let rounded = bits &+ 0x7FFF &+ ((bits >> 16) & 1)
            let half = values[index].isNaN ? UInt16(truncatingIfNeeded: bits >> 16) | 0x40 : UInt16(rounded >> 16)
            bytes.storeBytes(of: half.littleEndian, toByteOffset: index * 2, as: UInt16.self)
        }
    }
}
