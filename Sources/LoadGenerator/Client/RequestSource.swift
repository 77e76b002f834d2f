// The request of each index of a run.

/// Makes requests. One seed and index always give the same request.
public protocol RequestSource: Sendable {
    /// The request of this index, from 0. It is asked for shortly before the request is due, so it must be quick.
    func request(_ index: Int) -> PreparedRequest
}

/// A list of requests, in order and round again.
public struct RepeatedRequests: RequestSource {
    private let requests: [PreparedRequest]

    /// - Throws: a prompts error for an empty list.
    public init(_ requests: [PreparedRequest]) throws(LoadGeneratorError) {
        guard !requests.isEmpty else { throw LoadGeneratorError(.prompts, "prompts", "there are none") }
        self.requests = requests
    }

    /// The request of this index.
    public func request(_ index: Int) -> PreparedRequest { requests[index % requests.count] }
}

/// Requests made of prompts as they are needed: nothing of a long trace is held.
public struct TemplatedRequests: RequestSource {
    private let prompts: any PromptSource
    private let template: RequestTemplate
    private let variant: RequestVariant

    /// Makes requests of prompts, all in one mode.
    public init(_ prompts: any PromptSource, template: RequestTemplate, variant: RequestVariant) {
        self.prompts = prompts
        self.template = template
        self.variant = variant
    }

    /// The request of this index.
    public func request(_ index: Int) -> PreparedRequest {
        template.request(for: prompts.prompt(index), variant: variant)
    }
}
