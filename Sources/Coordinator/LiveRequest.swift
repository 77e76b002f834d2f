/// A request between its admission and its end.
struct LiveRequest {
    let request: GenerationRequest
    let sink: Generation.Sink
    let start: ContinuousClock.Instant
    let deadline: ContinuousClock.Instant
    /// Stops the speculator between two blocks of the prompt.
    let cancellation = SpeculatorRunner.Cancellation()
    /// Its prompt no longer queues.
    var hasToken = false
}
