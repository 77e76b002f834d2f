// Two weight matrices and a gate: the first half of a gated feed-forward.

internal import CKernels

/// `silu(input G^T) * (input U^T)`: SwiGLU without its last product (arXiv 2002.05202). Where oneDNN multiplies, parts of
/// both products become one while they are in a core's cache; they never lie in memory as a whole.
package struct GatedLinear: Sendable {
    private let gate: Linear
    private let up: Linear

    /// Both of the same shape, without bias.
    package init(gate: Linear, up: Linear) {
        precondition(gate.outputs == up.outputs && gate.inputs == up.inputs)
        precondition(gate.bias == nil && up.bias == nil)
        self.gate = gate
        self.up = up
    }

    /// Memory of the weights, in bytes.
    package var byteCount: Int { gate.byteCount + up.byteCount }

    /// Writes the result for the first `rows` rows of `input`, `[_, inputs]`, to those of `output`, `[_, outputs]`.
    ///
    /// - Parameter products: room for both products, `[rows, 2 outputs]`; what it holds afterwards is undefined.
    package func apply(
        _ input: Matrix, rows: Int, to output: Matrix, products: Matrix, converted: ConvertedRows, pool: ThreadPool
    ) {
        precondition(input.columns == gate.inputs && output.columns == gate.outputs && rows <= output.rows)
        precondition(products.columns == 2 * gate.outputs && rows <= products.rows)
        guard rows > 0 else { return }
        switch (gate.weights, up.weights) {
        case (.oneDNN(let gates, let format), .oneDNN(let ups, _)):
            converted.convert(input, rows: 0..<rows, precision: format, pool: pool)
            gates.multiplyGated(ups, rows: rows, converted, into: output, pool: pool)
            return
        case (.packed(let gates), .packed(let ups)):
            gates.convert(input, rows: 0..<rows, into: converted, pool: pool)
            // All panels in one loop, gates first.
            gate.share(2 * gates.panels, rows: rows, pool: pool) { panels in
                for (weights, first) in [(gates, 0), (ups, gates.panels)] {
                    let own = panels.clamped(to: first..<first + gates.panels)
                    guard !own.isEmpty else { continue }
                    weights.multiply(
                        panels: own.lowerBound - first..<own.upperBound - first, rows: rows, input.pointer(row: 0),
                        stride: input.columns, converted: converted,
                        into: products.pointer(row: 0) + (first > 0 ? gate.outputs : 0), stride: products.columns,
                        adding: false)
                }
            }
        default:
            gate.apply(input, rows: 0..<rows, to: products, from: 0, converted: converted, pool: pool)
            up.apply(
                input, rows: 0..<rows, to: products, from: 0, column: gate.outputs, converted: converted, pool: pool)
        }
        Kernels.siluMultiply(products, rows: rows, into: output, pool: pool)
    }
}
