// The request options of `winnow loadgen` to what is asked, and how.

import ArgumentParser
import Foundation
import LoadGenerator

extension LoadgenRequestOptions {
    /// What is contradictory or missing.
    func check(hasTrace: Bool) throws {
        guard !dense || keepRate == nil else {
            throw ValidationError("Give either --dense or --keep-rate.")
        }
        guard compare == nil || (keepRate == nil && !dense) else {
            throw ValidationError("--compare names the modes: leave out --dense and --keep-rate.")
        }
        let sources = [prompts != nil, promptTokens != nil].count { $0 }
        guard sources == 1 || (sources == 0 && hasTrace) else {
            throw ValidationError(
                sources == 0
                    ? "Say what to send: --prompts FILE, --prompt-tokens LENGTH, or a --trace."
                    : "Give either --prompts or --prompt-tokens.")
        }
        guard exactLengths == nil || prompts == nil else {
            throw ValidationError("--exact-lengths belongs to --prompt-tokens and --trace.")
        }
        if let count = exactLengths, !(1...SyntheticRequests.maximumCounted).contains(count) {
            throw ValidationError("--exact-lengths must be 1 to \(SyntheticRequests.maximumCounted), found \(count).")
        }
        guard maxPromptTokens == nil || hasTrace else {
            throw ValidationError("--max-prompt-tokens belongs to --trace.")
        }
        if let limit = maxPromptTokens, limit < 1 {
            throw ValidationError("--max-prompt-tokens must be at least 1.")
        }
        let shapesText = outputTokens != nil || sharedPrefix != 0 || prefixGroups != 1
        guard !shapesText || promptTokens != nil else {
            throw ValidationError("--output-tokens, --shared-prefix and --prefix-groups belong to --prompt-tokens.")
        }
    }

    /// The ways of asking.
    var variants: [RequestVariant] {
        get throws(LoadGeneratorError) {
            guard let compare = compare else {
                if let keepRate = keepRate { return [try .keep(keepRate)] }
                return [dense ? .dense : .asIs]
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
    }

    /// The fields of `--extra-body`.
    var extraFields: [String: JSONValue] {
        get throws(LoadGeneratorError) {
            guard let extraBody else { return [:] }
            return try JSONValue.object(parsing: extraBody, place: "--extra-body")
        }
    }

    /// What every request has in common.
    func template(model: String) throws(LoadGeneratorError) -> RequestTemplate {
        try RequestTemplate(
            model: model, maxTokens: maxTokens, extraBody: try extraFields, continuousUsage: continuousUsage)
    }
}
