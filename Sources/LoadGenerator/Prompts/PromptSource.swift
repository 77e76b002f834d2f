// Where the requests of a run come from.

/// The prompts of a run, by the index of the request.
public protocol PromptSource: Sendable {
    /// The prompt of one request; asked twice, the same.
    ///
    /// - Parameter index: at least 0. A source that holds fewer prompts begins again.
    func prompt(_ index: Int) -> Prompt
}

extension PromptSet: PromptSource {
    /// The prompt of the request with this index.
    public func prompt(_ index: Int) -> Prompt { self[index] }
}
