import Coordinator
import Testing

@Suite("Histogram")
struct HistogramTests {
    @Test(arguments: [Histogram.seconds, .shares]) func everyValueIsInTheBucketsFromItsOwnOn(_ empty: Histogram) {
        #expect(zip(empty.bounds, empty.bounds.dropFirst()).allSatisfy { $0 < $1 })
        #expect(empty.count == 0 && empty.sum == 0 && empty.cumulative == empty.bounds.map { _ in 0 })
        for (index, bound) in empty.bounds.enumerated() {
            var histogram = empty
            histogram.record(bound)  // a bound belongs to its own bucket
            histogram.record(bound.nextUp)
            #expect(
                histogram.cumulative
                    == empty.bounds.indices.map { ($0 >= index ? 1 : 0) + ($0 >= index + 1 ? 1 : 0) })
            #expect(histogram.count == 2 && histogram.sum == bound + bound.nextUp)
        }
    }

    @Test func whatIsBeyondTheLastBoundIsCounted() {
        var histogram = Histogram.shares
        histogram.record(7)
        #expect(histogram.cumulative.last == 0 && histogram.count == 1 && histogram.sum == 7)
    }

    @Test func timesAreSeconds() {
        var histogram = Histogram.seconds
        histogram.record(.milliseconds(1500))
        #expect(histogram.sum == 1.5)
    }

    @Test func nonsenseDoesNotSpoilTheSum() {
        var histogram = Histogram.seconds
        for value in [Double.nan, .infinity, -.infinity] { histogram.record(value) }
        #expect(histogram == .seconds)
        histogram.record(-1)
        #expect(histogram.count == 1 && histogram.sum == 0 && histogram.cumulative.first == 1)
    }
}
