// Importance, gathered layer by layer while the speculator runs.

package import Compute

/// Gathers the importance of a prompt's tokens from the queries of the look-ahead steps: softmax over the prompt's keys,
/// pooling, maximum over layers and heads, mean over steps (arXiv 2502.02789, section 3).
///
/// It holds one maximum per token for the step under way and one sum per token for those before, whatever the number
/// of layers, heads and steps.
package final class ImportanceAccumulator {
    private let promptCount: Int
    private let headDim: Int
    private let pool: Int
    private var maximum: [Float]
    private var sums: [Float]
    private var steps = 0
    private let attention: PromptAttention

    /// Gathers for a prompt of `promptCount` tokens; `pool` is the odd width of the pooling, `group` the number of query
    /// heads that share a KV head.
    package init(promptCount: Int, pool: Int, group: Int, headDim: Int) {
        self.promptCount = promptCount
        self.headDim = headDim
        self.pool = pool
        maximum = [Float](repeating: 0, count: promptCount)
        sums = maximum
        attention = PromptAttention(rows: group, keys: promptCount, headDim: headDim)
    }

    /// Adds, to the step under way, the heads of one layer that share a KV head.
    ///
    /// - Parameters:
    ///   - queries: `[group, headDim]`, post-RoPE.
    ///   - keys: `promptCount` or more rows of headDim values, post-RoPE; those after the prompt's are not looked at.
    package func add(queries: UnsafeBufferPointer<Float>, keys: KVSlice) {
        maximum.withUnsafeMutableBufferPointer { maximum in
            attention.forEachRow(queries: queries, keys: keys) { weights, sum in
                ImportanceMath.poolAndMaximise(weights, divisor: sum, pool: pool, into: maximum)
            }
        }
    }

    /// Ends the step under way, whose layers have all been added.
    package func endStep() {
        for token in 0..<promptCount {
            sums[token] += maximum[token]
            maximum[token] = 0
        }
        steps += 1
    }

    /// The mean over the ended steps, `[promptCount]`; zeros before the first.
    package var importance: [Float] {
        let steps = Float(max(self.steps, 1))
        return sums.map { $0 / steps }
    }
}
