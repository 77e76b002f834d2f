// When the requests of one step of a campaign are sent.

/// When the requests of each step are sent.
public enum LoadShape: Sendable {
    /// At the step's rate, for this long.
    case timed(ArrivalProcess, Duration)
    /// At the step's rate, so many of them on average in this time, and at least so many; bracketing runs are content
    /// with the second number, because the first rates are far from the answer.
    case counted(ArrivalProcess, Duration, minimum: Int, bracket: Int? = nil)
    /// As recorded, whatever the step's rate.
    case recorded(ArrivalSchedule)
    /// By users in turn, whatever the step's rate.
    case closed(concurrency: Int, Duration)

    /// The load of a step.
    ///
    /// - Throws: a usage error when the rate and the length make too many requests.
    public func load(of step: RateStep) throws(LoadGeneratorError) -> Load {
        switch self {
        case .timed(let process, let duration):
            return .open(try ArrivalSchedule(process, rate: step.rate, duration: duration, seed: step.seed))
        case .counted(let process, let duration, let minimum, let bracket):
            // Up: a run that is a hair too short proves nothing.
            let wanted = max(Double(minimum), (step.rate * duration.seconds).rounded(.up))
            guard wanted <= Double(ArrivalSchedule.maximumCount) else {
                throw LoadGeneratorError(.usage, "duration", "makes too many requests at \(step.rate)/s: shorten it")
            }
            let inTime = (step.rate * duration.seconds).rounded(.up)
            let count =
                step.purpose == .bracket
                ? Int(min(wanted, max(Double(bracket ?? minimum), inTime))) : Int(wanted)
            return .open(try ArrivalSchedule(process, rate: step.rate, count: count, seed: step.seed))
        case .recorded(let schedule): return .open(schedule)
        case .closed(let concurrency, let duration): return .closed(concurrency: concurrency, duration: duration)
        }
    }

    /// How long a step's window is.
    func span(of step: RateStep) -> Duration {
        switch self {
        case .timed(_, let duration), .closed(_, let duration): duration
        case .recorded(let schedule): schedule.span
        case .counted(_, let duration, let minimum, let bracket):
            max(
                duration,
                .seconds(
                    min(1e9, Double(step.purpose == .bracket ? min(minimum, bracket ?? minimum) : minimum) / step.rate))
            )
        }
    }
}
