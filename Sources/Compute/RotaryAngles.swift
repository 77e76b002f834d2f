// Cosines and sines of the rotary position embedding for the rows at hand.

internal import Glibc

/// The angles of some rows: row r turns pair i by `position(r) * frequency(i)`.
package struct RotaryAngles: Sendable {
    /// `[rows, headDim / 2]`.
    let cosines: Matrix
    /// `[rows, headDim / 2]`.
    let sines: Matrix

    /// Calculates the angles in Double, so that far positions keep their precision.
    ///
    /// - Parameters:
    ///   - positions: one position id per row.
    ///   - frequencies: radians per position for each pair of a head, `headDim / 2` of them.
    /// - Throws: if the memory cannot be had.
    package init(positions: [Int32], frequencies: [Double], pool: ThreadPool) throws(MemoryError) {
        let (cosines, sines) = (
            try Matrix(rows: positions.count, columns: frequencies.count, for: "rotary angles"),
            try Matrix(rows: positions.count, columns: frequencies.count, for: "rotary angles")
        )
        let rowsPerTask = 64
        pool.parallelFor((positions.count + rowsPerTask - 1) / rowsPerTask) { task in
            for row in task * rowsPerTask..<min(positions.count, (task + 1) * rowsPerTask) {
                let (cosine, sine) = (cosines.pointer(row: row), sines.pointer(row: row))
                for (i, frequency) in frequencies.enumerated() {
                    let angle = Double(positions[row]) * frequency
                    cosine[i] = Float(cos(angle))
                    sine[i] = Float(sin(angle))
                }
            }
        }
        self.cosines = cosines
        self.sines = sines
    }
}
