import Speculation

/// Whether a prompt is scored, or goes dense, and why.
package enum PrefillChoice: Equatable {
    case speculate
    /// `fallback` says why a request that asked for pruning goes dense; `nil` when it asked for dense.
    case dense(fallback: String?)

    /// - Parameter speculatorContext: the longest prompt the speculator can read; `nil` without a speculator.
    package init(_ request: GenerationRequest, speculatorContext: Int?) {
        let parameters = request.speculation
        let count = request.prompt.count
        // Keeping everything needs no scores.
        guard parameters.enabled, parameters.keepRate < 1 else {
            self = .dense(fallback: nil)
            return
        }
        guard request.promptLogProbabilities == nil else {
            self = .dense(fallback: "log-probabilities of the prompt need the whole prompt")
            return
        }
        guard let speculatorContext else {
            self = .dense(fallback: "no speculator is configured")
            return
        }
        guard parameters.prunes(promptCount: count) else {
            self = .dense(fallback: "the prompt's \(count) tokens are below the threshold of \(parameters.threshold)")
            return
        }
        guard count <= speculatorContext else {
            self = .dense(
                fallback: "the prompt's \(count) tokens exceed the speculator's context of \(speculatorContext)")
            return
        }
        self = .speculate
    }
}
