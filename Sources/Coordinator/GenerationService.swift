public import Speculation
public import Tokenizer

/// Whether requests can be served now.
public enum Readiness: Sendable, Equatable {
    case ready
    /// What is missing, in words an operator can act on.
    case notReady(reason: String)
}

/// What an upper floor (the gateway, a load generator in process) asks of a coordinator.
public protocol GenerationService: Sendable {
    /// The id under which the main model is served.
    var modelName: String { get }
    /// The most tokens prompt and answer may have together.
    var contextLength: Int { get }
    var tokenizer: Tokenizer { get }
    /// A digest, in hexadecimal, of the main model's weights and shape.
    var modelFingerprint: String { get }
    var hasSpeculator: Bool { get }
    /// What a request gets that says nothing about speculation.
    var defaultSpeculation: SpeculationParameters { get }

    func readiness() -> Readiness

    /// What has been done since the start, and what is held now.
    func metrics() -> ServiceMetrics

    /// What there is and what was done lately, at most half a second old.
    func status() -> FleetStatus

    /// Takes a request, or refuses it at once: invalid, too long, overloaded, unavailable.
    func submit(_ request: GenerationRequest) throws(RequestError) -> Generation
}
