// Percentiles, exhaustively for small counts.

import LoadGenerator
import Testing

@Suite("latency distribution")
struct LatencyDistributionTests {
    private static func percentile(_ perThousand: Int) throws -> Percentile {
        perThousand == 1000 ? .maximum : try Percentile(parsing: "p\(Double(perThousand) / 10)")
    }

    @Test(
        "the quantile is the smallest value that enough samples do not exceed",
        arguments: [10, 500, 900, 990, 999, 1000])
    func nearestRank(perThousand: Int) throws {
        for count in 1...250 {
            let samples = (1...count).map { Duration.milliseconds($0) }
            let value = try LatencyDistribution(samples: samples.reversed()).quantile(Self.percentile(perThousand))
            let expected = samples.first { sample in samples.count { $0 <= sample } * 1000 >= perThousand * count }
            #expect(value == expected)
        }
    }

    @Test("misses lie above every sample")
    func misses() throws {
        let samples = (1...9).map { Duration.milliseconds($0) }
        let distribution = LatencyDistribution(samples: samples, misses: 1)
        #expect(distribution.count == 10)
        #expect(distribution.quantile(.p90) == .milliseconds(9))
        #expect(try distribution.quantile(Self.percentile(901)) == nil)
        #expect(distribution.quantile(.maximum) == nil)
        #expect(distribution.maximumMeasured == .milliseconds(9))
        #expect(LatencyDistribution(samples: [], misses: 3).quantile(.p50) == nil)
        #expect(LatencyDistribution(samples: []).quantile(.p50) == nil)
    }

    @Test("so many misses leave the quantile measured, and one more does not")
    func allowedMisses() {
        for count in 1...450 {
            let allowed = LatencyDistribution.allowedMisses(.p99, of: count)
            #expect(allowed == count / 100)
            for (misses, isMeasured) in [(allowed, true), (allowed + 1, false)] where misses <= count {
                let samples = Array(repeating: Duration.seconds(1), count: count - misses)
                let value = LatencyDistribution(samples: samples, misses: misses).quantile(.p99)
                #expect((value != nil) == isMeasured)
            }
        }
    }
}
