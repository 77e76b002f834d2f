// Parameters outside their range are named, with what is allowed.

import Speculation
import Testing

@Suite struct SpeculationParametersTests {
    @Test func defaultsAreValid() throws {
        try SpeculationParameters().validate()
        try SpeculationParameters(keepRate: 1, lookAhead: 1, chunk: 1, stride: 1, pool: 1, tail: 0, threshold: 0)
            .validate()
    }

    private static let invalid: [(String, SpeculationParameters)] = [
        ("keep_rate", .init(keepRate: 0)), ("keep_rate", .init(keepRate: -0.1)), ("keep_rate", .init(keepRate: 1.5)),
        ("keep_rate", .init(keepRate: .nan)), ("keep_rate", .init(keepRate: .infinity)),
        ("look_ahead", .init(lookAhead: 0)), ("look_ahead", .init(lookAhead: 129)),
        ("look_ahead", .init(lookAhead: .min)),
        ("chunk", .init(chunk: 0)), ("chunk", .init(chunk: .max)), ("stride", .init(stride: 0)),
        ("stride", .init(chunk: 32, stride: 33)), ("pool", .init(pool: 12)), ("pool", .init(pool: 0)),
        ("pool", .init(pool: -13)), ("pool", .init(pool: 65537)), ("tail", .init(tail: -1)),
        ("tail", .init(tail: .max)),
        ("threshold", .init(threshold: -1)), ("speculator_most_keys", .init(mostKeys: 0)),
        ("speculator_most_keys", .init(mostKeys: 1.01)), ("speculator_most_keys", .init(mostKeys: .nan)),
    ]

    @Test(arguments: invalid.indices) func namesTheField(index: Int) {
        let (field, parameters) = Self.invalid[index]
        #expect {
            try parameters.validate()
        } throws: { error in
            guard case .invalidParameter(let named, let value, let allowed)? = error as? SpeculationError else {
                return false
            }
            return named == field && !value.isEmpty && "\(error)".contains(allowed)
        }
    }

    @Test func shortPromptsGoDenseExceptInReferenceMode() {
        let parameters = SpeculationParameters(threshold: 512)
        #expect(!parameters.prunes(promptCount: 511))
        #expect(parameters.prunes(promptCount: 512))
        #expect(!SpeculationParameters(keepRate: 1).prunes(promptCount: 1000))
        #expect(!SpeculationParameters(enabled: false).prunes(promptCount: 1000))
        #expect(SpeculationParameters(selection: .reference).prunes(promptCount: 5))
        #expect(!SpeculationParameters(selection: .reference).prunes(promptCount: 0))
    }
}
