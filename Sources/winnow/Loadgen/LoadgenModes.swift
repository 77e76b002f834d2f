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

    /// What is wrong with the request options alone.
    func check() throws {
        guard !requests.dense || requests.keepRate == nil else {
            throw ValidationError("Give either --dense or --keep-rate.")
        }
        guard requests.compare == nil || (requests.keepRate == nil && !requests.dense) else {
            throw ValidationError("--compare names the modes: leave out --dense and --keep-rate.")
        }
        let sources = [requests.prompts != nil, requests.promptTokens != nil].count { $0 }
        guard sources == 1 || (sources == 0 && trace != nil) else {
            throw ValidationError(
                sources == 0
                    ? "Say what to send: --prompts FILE, --prompt-tokens LENGTH, or a --trace."
                    : "Give either --prompts or --prompt-tokens.")
        }
        guard requests.exactLengths == nil || requests.prompts == nil else {
            throw ValidationError("--exact-lengths belongs to --prompt-tokens and --trace.")
        }
        if let count = requests.exactLengths, !(1...SyntheticRequests.maximumCounted).contains(count) {
            throw ValidationError("--exact-lengths must be 1 to \(SyntheticRequests.maximumCounted), found \(count).")
        }
        guard requests.maxPromptTokens == nil || trace != nil else {
            throw ValidationError("--max-prompt-tokens belongs to --trace.")
        }
        if let limit = requests.maxPromptTokens, limit < 1 {
            throw ValidationError("--max-prompt-tokens must be at least 1.")
        }
        let shapesText = requests.outputTokens != nil || requests.sharedPrefix != 0 || requests.prefixGroups != 1
        guard !shapesText || requests.promptTokens != nil else {
            throw ValidationError("--output-tokens, --shared-prefix and --prefix-groups belong to --prompt-tokens.")
        }
    }

    /// The ways of asking.
    func variants() throws(LoadGeneratorError) -> [RequestVariant] {
        guard let compare = requests.compare else {
            if let keepRate = requests.keepRate { return [try .keep(keepRate)] }
            return [requests.dense ? .dense : .asIs]
        }
        var variants: [RequestVariant] = []
        for text in compare.split(separator: ",") {
            let variant = try RequestVariant(parsing: text.trimmingCharacters(in: .whitespaces))
            guard !variants.contains(variant) else {
                throw LoadGeneratorError(.usage, "--compare", "'\(variant.name)' is named twice")
            }
            variants.append(variant)
        }
        guard !variants.isEmpty else { throw LoadGeneratorError(.usage, "--compare", "names no mode") }
        return variants
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
        if let file = requests.prompts { return try PromptSet(file: file) }
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
        let extraFields =
            try requests.extraBody.map { text in try JSONValue.object(parsing: text, place: "--extra-body") } ?? [:]
        let template = try RequestTemplate(model: model, maxTokens: requests.maxTokens, extraBody: extraFields)
        let prompts = try await prompts(counter, address: address)
        let variants = try variants()
        return variants.map { variant in
            let title = [name, variants.count > 1 || name == nil ? variant.name : nil].compactMap(\.self)
            return CampaignMode(
                name: title.joined(separator: " "), address: address, model: model, target: target,
                source: TemplatedRequests(prompts, template: template, variant: variant))
        }
    }
}
