// A rate that goes linearly from one value to another.

/// Where in a window a share of its arrivals has come.
struct Ramp {
    /// The window, in seconds.
    let span: Double
    private let first: Double
    private let slope: Double

    /// Takes the ends of a ramp, and for any other process a steady rate.
    init(_ process: ArrivalProcess, span: Double) {
        self.span = span
        if case .ramp(let from, let to) = process, from + to > 0 {
            // Ends whose mean is a hair beside 1 would leave a part of the window without a solution.
            first = 2 * from / (from + to)
            slope = 1 - first
        } else {
            (first, slope) = (1, 0)
        }
    }

    /// Solves `first * x + slope * x^2 = share` for the part x of the window, and gives seconds, 0...``span``.
    func time(ofShare share: Double) -> Double {
        guard share > 0 else { return 0 }
        guard slope != 0 else { return share * span }
        // Rounding must not take a ramp that falls to nothing below it.
        let root = max(0, first * first + 4 * slope * share).squareRoot()
        // The form without cancellation, also for a ramp that falls to nothing.
        return min(max(2 * share / (first + root), 0), 1) * span
    }
}
