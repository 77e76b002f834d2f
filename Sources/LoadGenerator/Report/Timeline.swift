// A run second by second, as it goes into reports.

/// What was offered and answered, second by second (or in wider steps in long runs).
public struct Timeline: Codable, Sendable, Equatable {
    /// The most steps.
    public static let maximumSteps = 600

    /// The width of a step, in seconds.
    public var stepS: Int
    /// Requests due in each step.
    public var offered: [Int]
    /// Whole answers in each step.
    public var completed: [Int]
    /// Failures in each step.
    public var failed: [Int]
    /// Requests that were open, from their sending to their end, on average over each step.
    public var inFlight: [Double]

    init(_ result: RunResult) {
        let end = max(result.span, result.records.map(\.end).max() ?? .zero).seconds
        // A clock that jumps must not make a million steps.
        let step = max(1, Int((min(end, 1e9) / Double(Self.maximumSteps)).rounded(.up)))
        let steps = max(1, min(Self.maximumSteps, Int((end / Double(step)).rounded(.up))))
        let empty = Array(repeating: 0, count: steps)
        (stepS, offered, completed, failed) = (step, empty, empty, empty)
        var open = OpenTime(step: Double(step), steps: steps, end: end)
        for record in result.records {
            let last = Self.index(record.end, step, steps)
            offered[Self.index(record.scheduled, step, steps)] += 1
            switch record.outcome {
            case .completed: completed[last] += 1
            case .failed(.unsent, _):
                failed[last] += 1
                continue
            case .failed: failed[last] += 1
            case .interrupted: break
            }
            open.add(from: record.sent.seconds, to: record.end.seconds)
        }
        inFlight = open.means.map(LatencySummary.rounded)
    }

    private static func index(_ time: Duration, _ step: Int, _ steps: Int) -> Int {
        min(max(Int(time.seconds / Double(step)), 0), steps - 1)
    }
}

/// How long requests were open in each step, all together.
private struct OpenTime {
    private let step: Double
    private let end: Double
    private var seconds: [Double]
    /// How many more requests are open all through a step than through the one before.
    private var changes: [Int]

    init(step: Double, steps: Int, end: Double) {
        self.step = step
        self.end = end
        seconds = Array(repeating: 0, count: steps)
        changes = Array(repeating: 0, count: steps + 1)
    }

    mutating func add(from start: Double, to stop: Double) {
        let (start, stop) = (max(0, start), min(stop, Double(seconds.count) * step))
        guard start < stop else { return }
        let (first, last) = (index(start), index(stop))
        guard first < last else {
            seconds[first] += stop - start
            return
        }
        seconds[first] += Double(first + 1) * step - start
        seconds[last] += stop - Double(last) * step
        changes[first + 1] += 1
        changes[last] -= 1
    }

    private func index(_ time: Double) -> Int { min(Int(time / step), seconds.count - 1) }

    /// The last step may be cut short by the end.
    var means: [Double] {
        var through = 0
        return seconds.indices.map { index in
            through += changes[index]
            let begin = Double(index) * step
            let width = min(step, end - begin)
            return width > 0 ? (seconds[index] + Double(through) * width) / width : 0
        }
    }
}
