// The schedule: what a seed draws, and that it is the process it claims to be.

import LoadGenerator
import Testing

@Suite("arrival schedule")
struct ScheduleTests {
    @Test("SplitMix64 gives the published sequence")
    func generator() {
        var generator = SplitMix64(seed: 1_234_567)
        let expected: [UInt64] = [
            6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423, 4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ]
        #expect(expected.map { _ in generator.next() } == expected)
    }

    @Test("constant arrivals are equally spaced and do not drift")
    func constant() throws {
        let schedule = try ArrivalSchedule(.constant, rate: 3, duration: .seconds(100_000), seed: 1)
        #expect(schedule.offsets.count == 300_000)
        #expect(schedule.offsets[0] == .zero)
        #expect(schedule.offsets[299_997] == .seconds(99_999))
    }

    @Test(
        "gaps of a Poisson schedule have an exponential's mean, variance and tail",
        arguments: 1...5 as ClosedRange<UInt64>)
    func poissonGaps(seed: UInt64) throws {
        let schedule = try ArrivalSchedule(.poisson, rate: 50, duration: .seconds(2000), seed: seed)
        let times = schedule.offsets.map(\.seconds)
        let gaps = zip(times, [0] + times).map { ($0 - $1) * 50 }
        let count = Double(gaps.count)
        let mean = gaps.reduce(0, +) / count
        let variance = gaps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
        // 100,000 gaps: the standard errors are 0.003 of the mean and 0.009 of the variance.
        #expect(abs(mean - 1) < 0.015)
        #expect(abs(variance - 1) < 0.045)
        let tail = Double(gaps.count { $0 > 2 }) / count
        #expect(abs(tail - 0.1353) < 0.006)
        #expect(times == times.sorted())
    }

    @Test("counts of a Poisson window have a mean and a variance of rate x duration")
    func poissonCounts() throws {
        let counts = try (0..<4000).map { seed in
            Double(try ArrivalSchedule(.poisson, rate: 5, duration: .seconds(4), seed: seed).offsets.count)
        }
        let mean = counts.reduce(0, +) / 4000
        let variance = counts.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 4000
        #expect(abs(mean - 20) < 0.35)
        #expect(abs(variance - 20) < 2.3)
    }

    @Test("a Poisson schedule of a fixed count is uniform in its window")
    func fixedCount() throws {
        let seeds = 0..<2000 as Range<UInt64>
        let schedules = try seeds.map { try ArrivalSchedule(.poisson, rate: 4, count: 8, seed: $0) }
        #expect(schedules.allSatisfy { $0.offsets.count == 8 && $0.span == .seconds(2) })
        #expect(schedules.allSatisfy { $0.offsets == $0.offsets.sorted() && ($0.offsets.last ?? .zero) <= $0.span })
        let mean = schedules.flatMap(\.offsets).reduce(0) { $0 + $1.seconds } / 16_000
        #expect(abs(mean - 1) < 0.02)
        // The k-th of n sorted uniforms has mean k/(n+1).
        let first = schedules.reduce(0) { $0 + $1.offsets[0].seconds } / 2000
        #expect(abs(first - 2.0 / 9) < 0.02)
    }

    @Test("gamma gaps have their mean and variance", arguments: [0.25, 0.5, 1, 4])
    func gammaGaps(shape: Double) throws {
        let schedule = try ArrivalSchedule(.gamma(shape: shape), rate: 50, count: 100_000, seed: 5)
        let times = schedule.offsets.map(\.seconds)
        let gaps = zip(times, [0] + times).map { ($0 - $1) * 50 }
        let mean = gaps.reduce(0, +) / 100_000
        let variance = gaps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 100_000
        #expect(abs(mean - 1) < 0.03)
        #expect(abs(variance * shape - 1) < 0.08)
        #expect(try schedule.digest == ArrivalSchedule(.gamma(shape: shape), rate: 50, count: 100_000, seed: 5).digest)
    }

    @Test("a ramp has its rate at both ends")
    func ramp() throws {
        let process = try ArrivalProcess(parsing: "ramp:0.5-1.5")
        for schedule in [
            try ArrivalSchedule(process, rate: 1000, duration: .seconds(100), seed: 5),
            try ArrivalSchedule(process, rate: 1000, count: 100_000, seed: 5),
        ] {
            #expect(abs(schedule.offsets.count - 100_000) < 1500)
            let first = schedule.offsets.count { $0 < .seconds(10) }
            let last = schedule.offsets.count { $0 >= .seconds(90) }
            // Mean shares of the first and the last tenth: 0.55 and 1.45.
            #expect(abs(first - 5500) < 300 && abs(last - 14_500) < 500)
            #expect(schedule.offsets == schedule.offsets.sorted())
        }
    }

    @Test("recorded times are kept, and the window is a gap longer")
    func recorded() throws {
        let schedule = try ArrivalSchedule(trace: "t", offsets: [.zero, .seconds(1), .seconds(4)])
        #expect(schedule.offsets == [.zero, .seconds(1), .seconds(4)] && schedule.span == .seconds(6))
        #expect(schedule.rate == 0.5 && schedule.process.name == "trace:t")
        #expect(throws: LoadGeneratorError.self) { _ = try ArrivalSchedule(trace: "t", offsets: []) }
    }

    @Test("arrivals are read and written alike", arguments: ["poisson", "constant", "gamma:0.5", "ramp:0.5-1.5"])
    func names(text: String) throws {
        #expect(try ArrivalProcess(parsing: text).name == text)
    }

    @Test(
        "arrivals that are none are refused",
        arguments: [
            "", "normal", "gamma", "gamma:0", "gamma:x", "ramp:1", "ramp:1-2", "ramp:-1-3", "poisson:2",
            "ramp:0.5--1.5", "ramp:-0.5-1.5", "ramp:x-0.5-1.5", "ramp:0.5-x-1.5", "ramp:nan-2", "ramp:inf-0",
            "ramp:0.5-1.5-", "ramp:", "gamma:nan", "gamma:inf", "gamma:",
        ])
    func badNames(text: String) {
        #expect(throws: LoadGeneratorError.self) { _ = try ArrivalProcess(parsing: text) }
    }

    @Test(
        "ramps whose mean is a hair beside 1 are evened out, whatever the end",
        arguments: [
            "ramp:1.995-0", "ramp:2-0", "ramp:0-2", "ramp:0-1.995", "ramp:0.67-1.33", "ramp:1-1.009", "ramp:2.005-0",
        ])
    func crookedRamps(text: String) throws {
        let process = try ArrivalProcess(parsing: text)
        let timed = try ArrivalSchedule(process, rate: 1000, duration: .seconds(10), seed: 3)
        let counted = try ArrivalSchedule(process, rate: 1000, count: 10_000, seed: 3)
        #expect(abs(timed.offsets.count - 10_000) < 500 && counted.offsets.count == 10_000)
        for schedule in [timed, counted] {
            #expect(schedule.offsets == schedule.offsets.sorted())
            #expect(schedule.offsets.allSatisfy { $0 >= .zero && $0 <= .seconds(10) })
        }
    }

    @Test("any text in the manner of arrivals is refused or drawn, at any rate")
    func fuzz() throws {
        var random = SplitMix64(seed: 11)
        let words = ["poisson", "constant", "gamma", "ramp", "trace", ""]
        let numbers = [
            "0", "1", "2", "1.995", "0.005", "1e-320", "1e308", "-0", "0.01", "1000", "nan", "inf", "0x1p-1", "-1", "x",
            "",
            "1.9999999999999999", "2.0000000000000004",
        ]
        let rates = [1e-300, .leastNonzeroMagnitude, 1e-9, 0.3, 7, 50_000]
        var drawn = 0
        for _ in 0..<4000 {
            var text = words.randomElement(using: &random) ?? ""
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                text +=
                    ([":", "-", ","].randomElement(using: &random) ?? "")
                    + (numbers.randomElement(using: &random) ?? "")
            }
            guard let process = try? ArrivalProcess(parsing: text) else { continue }
            let rate = rates.randomElement(using: &random) ?? 1
            let span = Duration.milliseconds(Int.random(in: 1...40, using: &random))
            let timed = try? ArrivalSchedule(process, rate: rate, duration: span, seed: random.next())
            let counted = try? ArrivalSchedule(process, rate: rate, count: 9, seed: random.next())
            for schedule in [timed, counted].compactMap(\.self) {
                drawn += 1
                #expect(schedule.offsets == schedule.offsets.sorted() && schedule.span > .zero, "\(text) at \(rate)")
                #expect(schedule.offsets.first.map { $0 >= .zero } ?? true, "\(text) at \(rate)")
            }
            #expect(timed?.offsets.last.map { $0 < span } ?? true, "\(text) at \(rate)")
        }
        #expect(drawn > 500)
    }

    @Test(
        "processes that no text could make are refused as well",
        arguments: [
            ArrivalProcess.gamma(shape: -1), .gamma(shape: .nan), .ramp(from: .nan, to: 1), .ramp(from: -1, to: 3),
            .ramp(from: 0, to: 0), .ramp(from: .infinity, to: 0),
        ])
    func badProcesses(process: ArrivalProcess) {
        #expect(throws: LoadGeneratorError.self) { _ = try ArrivalSchedule(process, rate: 1, count: 3, seed: 1) }
        #expect(throws: LoadGeneratorError.self) {
            _ = try ArrivalSchedule(process, rate: 1, duration: .seconds(3), seed: 1)
        }
    }

    @Test("the same seed draws the same times, another seed others, a longer window the same beginning")
    func seeds() throws {
        let one = try ArrivalSchedule(.poisson, rate: 10, duration: .seconds(10), seed: 7)
        #expect(try one == ArrivalSchedule(.poisson, rate: 10, duration: .seconds(10), seed: 7))
        #expect(try one.offsets != ArrivalSchedule(.poisson, rate: 10, duration: .seconds(10), seed: 8).offsets)
        let longer = try ArrivalSchedule(.poisson, rate: 10, duration: .seconds(20), seed: 7)
        #expect(longer.offsets.starts(with: one.offsets))
        #expect(longer.offsets.count > one.offsets.count)
    }

    @Test(
        "a rate that is no rate is refused",
        arguments: [0, -1, .nan, .infinity, -.infinity, 2e6, 1e-300] as [Double])
    func badRates(rate: Double) {
        #expect(throws: LoadGeneratorError.self) {
            _ = try ArrivalSchedule(.poisson, rate: rate, count: 10, seed: 1)
        }
        if rate != 1e-300 {
            #expect(throws: LoadGeneratorError.self) {
                _ = try ArrivalSchedule(.constant, rate: rate, duration: .seconds(1), seed: 1)
            }
        }
    }

    @Test("too many arrivals, none, or no window are refused")
    func badLengths() {
        #expect(throws: LoadGeneratorError.self) {
            _ = try ArrivalSchedule(.poisson, rate: 1e6, duration: .seconds(3600), seed: 1)
        }
        #expect(throws: LoadGeneratorError.self) {
            _ = try ArrivalSchedule(.poisson, rate: 1, duration: .zero, seed: 1)
        }
        #expect(throws: LoadGeneratorError.self) { _ = try ArrivalSchedule(.poisson, rate: 1, count: 0, seed: 1) }
    }

    @Test(
        "durations are read with units",
        arguments: [
            ("2s", Duration.seconds(2)), ("200ms", .milliseconds(200)), ("1.5m", .seconds(90)), ("1h", .seconds(3600)),
            ("0.25", .milliseconds(250)), ("0", .zero),
        ])
    func durations(text: String, expected: Duration) throws {
        #expect(try Duration(parsing: text) == expected)
    }

    @Test("texts that are no durations are refused", arguments: ["", "s", "2 s", "-1s", "nan", "infs", "2d", "1e9h"])
    func badDurations(text: String) {
        #expect(throws: LoadGeneratorError.self) { _ = try Duration(parsing: text) }
    }
}
