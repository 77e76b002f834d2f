// The options of `winnow loadgen` to modes: every server in every way it is asked.

import ArgumentParser
import Coordinator
import Foundation
import LoadGenerator

/// Servers, prompts and variants to the modes of a campaign.
struct LoadgenModes {
    let requests: LoadgenRequestOptions
    let trace: Trace?
    let seed: UInt64

    /// The prompts of the file.
    private let promptSet: PromptSet?
    private let variants: [RequestVariant]

    /// Reads what the options name: all that can be wrong without a server is found here.
    init(requests: LoadgenRequestOptions, trace: Trace?, seed: UInt64) throws(LoadGeneratorError) {
        self.requests = requests
        self.trace = trace
        self.seed = seed
        variants = try requests.variants
        _ = try requests.template(model: "")
        if let file = requests.prompts { promptSet = try PromptSet(file: file) } else { promptSet = nil }
    }

    /// What reports say the prompts are.
    var description: String {
        requests.prompts ?? requests.promptTokens.map { "synthetic, \($0) tokens" } ?? trace.map {
            "lengths of \($0.name)"
        }
            ?? ""
    }

    /// The prompts, measured with the server's own tokenizer where it lends it.
    private func prompts(_ counter: (any TokenCounter)?, address: String) async throws -> any PromptSource {
        if let promptSet { return promptSet }
        var gauge = TokenGauge.assumed
        if let counter {
            gauge = try await TokenGauge.calibrated(by: counter, seed: seed)
        } else {
            Console.note("winnow loadgen: \(address) counts no tokens: lengths are taken as 4 characters a token")
        }
        let synthetic: SyntheticRequests
        if let trace {
            synthetic = SyntheticRequests(trace: trace, seed: seed, gauge: gauge)
        } else if let length = requests.promptTokens {
            synthetic = try SyntheticRequests(
                promptTokens: length, outputTokens: requests.outputTokens ?? .fixed(RequestTemplate.defaultMaxTokens),
                sharedPrefixTokens: requests.sharedPrefix, prefixGroups: requests.prefixGroups, seed: seed, gauge: gauge
            )
        } else {
            throw ValidationError("Say what to send: --prompts FILE.")
        }
        guard let count = requests.exactLengths else { return synthetic }
        guard let counter else {
            throw LoadGeneratorError(
                .usage, "--exact-lengths",
                "\(address) counts no tokens (no POST /tokenize): leave it out, lengths are then estimated")
        }
        let line = ProgressLine()
        defer { line.clear() }
        let counted = try await synthetic.counted(count, by: counter) { line.show("prompt \($0) of \(count)") }
        if counted.exactCount < count {
            let worst = (counted.worstError * 1000).rounded() / 10
            Console.note(
                "winnow loadgen: \(count - counted.exactCount) of \(count) prompts miss their length, the worst by \(worst) %"
            )
        }
        return counted
    }

    /// The modes of one server.
    ///
    /// - Parameter name: of the server, where there are several.
    func modes(_ client: OpenAIClient, name: String?) async throws -> [CampaignMode] {
        let model: String = if let model = requests.model { model } else { try await client.firstModel() }
        let counter = requests.prompts == nil ? await client.tokenCounter(model: model) : nil
        return try await modes(client, address: client.address, model: model, counter: counter, name: name)
    }

    /// The modes of a coordinator in this process.
    func modes(native service: any GenerationService) async throws -> [CampaignMode] {
        try await modes(
            NativeTarget(service: service), address: "in process", model: service.modelName,
            counter: NativeTokenCounter(service: service), name: nil)
    }

    private func modes(
        _ target: any LoadTarget, address: String, model: String, counter: (any TokenCounter)?, name: String?
    ) async throws -> [CampaignMode] {
        let template = try requests.template(model: model)
        let prompts = try await prompts(counter, address: address)
        return variants.map { variant in
            let title = [name, variants.count > 1 || name == nil ? variant.name : nil].compactMap(\.self)
            return CampaignMode(
                name: title.joined(separator: " "), address: address, model: model, target: target,
                source: TemplatedRequests(prompts, template: template, variant: variant))
        }
    }
}
