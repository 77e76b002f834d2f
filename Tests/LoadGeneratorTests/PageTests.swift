// The report page as a file: whole, self-contained and unharmed by what is put into it.

import Foundation
import LoadGenerator
import Testing

#if canImport(FoundationXML)
    import FoundationXML
#endif

@Suite("report page")
struct PageTests {
    private static let hostile = "<b>&\"'</script>\u{0}\u{1B}]]>{x}\u{202E}"

    /// A run in which everything is filled in.
    private func run(_ rate: Double, verdict: String = "VALID", name: String = "stage 0") -> PageRun {
        PageRun(
            offeredRate: rate, achievedRate: rate * 0.99, purpose: "bisect", verdict: verdict,
            verdictReason: "because of \(name)", requests: 500, completed: 490,
            failedByKind: ["http_status": 4, name: 6],
            latencies: [
                "ttft": PageLatency(
                    p50: 120, p90: 300, p99: 800 * rate, mean: 150,
                    p99Interval: PageInterval(low: 700 * rate, high: nil),
                    others: [PagePercentile(99.9, milliseconds: nil)]),
                "e2e": PageLatency(p50: 1200, p90: 3000, p99: 5000, max: 7000, mean: 1500),
            ], missShares: [0.01, nil], accuracy: 0.8, judged: 400, keepRate: 0.1,
            ttftQuantiles: (1...200).map { Double($0) * 4 }, ttftFailures: 0.02,
            timeline: (0..<60).map {
                PageTick(second: $0, offered: rate, completed: rate, inFlight: 3, failed: $0 == 30 ? 2 : 0)
            }, stages: [PageStage(name: name, busyShare: 0.9, detail: name)], bottleneck: "\(name) limits the rate")
    }

    private func content(name: String = "keep 0.1") -> PageContent {
        PageContent(
            title: "Report of \(name)", facts: [PageFact(label: "target", value: "http://example.test/\(name)")],
            objectives: [
                PageObjective(metric: "ttft", percentile: 99, boundMilliseconds: 2000),
                PageObjective(metric: "e2e", percentile: 97, boundMilliseconds: 9000),
            ],
            modes: ["dense", name].map { mode in
                PageMode(
                    name: mode, verdict: "VALID", verdictReason: "proved", maximalRate: 2, maximalRateHigh: 4,
                    unloadedTTFTMilliseconds: 100,
                    runs: [run(1, name: name), run(4, verdict: "MISSED", name: name), run(2, name: name)], focus: 2)
            }, comparisons: [PageComparison(what: "maximal QPS", of: name, against: "dense", ratio: 2.5, low: 2)],
            notes: ["a note on \(name)"])
    }

    /// Parses all after the document type as XML, and returns how often each element begins.
    private func elements(_ html: String) throws -> [String: Int] {
        let firstLine = "<!DOCTYPE html>\n"
        try #require(html.hasPrefix(firstLine))
        let parser = XMLParser(data: Data(html.dropFirst(firstLine.count).utf8))
        let counter = ElementCounter()
        parser.delegate = counter
        let isWellFormed = parser.parse()
        #expect(isWellFormed, "\(String(describing: parser.parserError)) in line \(parser.lineNumber)")
        for number in ["nan", "inf"] {
            #expect(html.ranges(of: "=\"\(number)").isEmpty && html.ranges(of: "-\(number)").isEmpty)
        }
        return counter.counts
    }

    @Test("a full page is well-formed and has every part")
    func parts() throws {
        let html = ReportPage(content()).html()
        let counts = try elements(html)
        // Two promises, a distribution, two timelines, two modes' stages, two for quality.
        #expect(counts["figure"] == 9)
        #expect(html.ranges(of: "role=\"img\"").count == 9 && html.ranges(of: "aria-label=\"").count == 9)
        #expect(counts["table"] == 3)
        for part in [
            "maximal QPS", ">VALID<", ">MISSED<", "2.5\u{D7}", "(at least 2)", "bound 2 s", "dense: 2/s",
            "TTFT p99 against offered rate", "E2E p99 against offered rate", "The promise is for p97",
            "Distribution of TTFT",
            "time since start (s)", "in flight", "keep 0.1 limits the rate", "busy share of the run (%)",
            "Accuracy against offered rate", "Maximal QPS against accuracy", "http status", "To repeat it",
            "a note on keep 0.1", "prefers-color-scheme", "@media print",
        ] {
            #expect(html.contains(part), "\(part)")
        }
        // A percentile beside the usual ones has a column of its own, for the metric that has it.
        #expect(html.ranges(of: ">p99.9</th>").count == 1)
    }

    @Test("the page asks for nothing from elsewhere and runs nothing")
    func selfContained() {
        let html = ReportPage(content()).html()
        for forbidden in ["src=", "href=", "url(", "@import", "<script", "<link", "<iframe", "onload="] {
            #expect(!html.contains(forbidden), "\(forbidden)")
        }
        #expect(html.utf8.count < 300_000)
    }

    @Test("names cannot break out of their place")
    func escaping() throws {
        #expect(
            PageText.escaped("<a b=\"c\" d='e'>&\u{0}\u{202E}")
                == "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;\u{FFFD}\u{FFFD}")
        #expect(PageText.escaped("\u{1F600} é\n") == "\u{1F600} é\n")
        let html = ReportPage(content(name: Self.hostile)).html()
        _ = try elements(html)
        #expect(!html.contains("<b>") && !html.contains("</script>"))
        #expect(html.contains("&lt;b&gt;&amp;&quot;&#39;"))
    }

    @Test("every verdict is a word and a colour of its own")
    func verdicts() throws {
        let words = ["VALID", "MISSED", "INCONCLUSIVE", "INVALID", "INTERRUPTED", "MEASURED", "<odd>"]
        let modes = words.map { PageMode(name: "m", verdict: $0, runs: [run(1, verdict: $0)]) }
        let html = ReportPage(PageContent(modes: modes)).html()
        _ = try elements(html)
        for word in words { #expect(html.contains(">\(PageText.escaped(word))</span>")) }
        #expect(html.contains("passed (VALID)") && html.contains("failed (MISSED)"))
        // A search's one run is at a rate that means nothing yet; the rate of a lone run was asked for.
        #expect(
            !html.contains("requests/s offered") && html.contains("no rate passed") && html.contains("no run counts"))
        let lone = PageMode(name: "m", runs: [PageRun(offeredRate: 26, verdict: "INVALID")])
        #expect(ReportPage(PageContent(modes: [lone])).html().contains("<strong>26</strong> requests/s offered"))
    }

    @Test("lines join what counts, once for each rate")
    func lines() throws {
        // At 3/s the generator was late; at 4/s there are two runs.
        var runs = [
            run(1), run(2), run(3, verdict: "INVALID"), run(4), run(4, verdict: "MISSED"),
            run(5, verdict: "INTERRUPTED"),
        ]
        for index in runs.indices { runs[index].latencies["ttft"]?.p99 = Double(100 * (index + 1)) }
        runs[3].requests = 10
        let html = ReportPage(PageContent(modes: [PageMode(name: "m", runs: runs)])).html()
        _ = try elements(html)
        let solid = try #require(html.firstMatch(of: /<polyline class="solid" points="([^"]*)"/)?.output.1)
        #expect(solid.split(separator: " ").count == 3)
        let median = try #require(html.firstMatch(of: /<polyline class="median" points="([^"]*)"/)?.output.1)
        #expect(median.split(separator: " ").count == 3)
        // The runs that do not count are still to be seen.
        #expect(html.contains("not counted (INVALID, INTERRUPTED)"))
    }

    @Test("steps of several seconds show means")
    func steps() {
        var long = run(3)
        long.timeline = (0..<600).map { PageTick(second: $0 * 2, offered: 3, completed: 3, inFlight: Double($0 % 2)) }
        let html = ReportPage(PageContent(modes: [PageMode(name: "m", runs: [long])])).html()
        #expect(html.contains("offered 3/s, completed 3/s"))
        #expect(html.contains("0.5 in flight on average") || html.contains("0.6 in flight on average"))
        #expect(html.contains("Means over steps of"))
    }

    @Test("nothing measured is a page as well")
    func empty() throws {
        let none = ReportPage(PageContent()).html()
        #expect(try elements(none)["figure"] == nil)
        #expect(none.contains("Nothing was measured."))
        let noRuns = ReportPage(PageContent(modes: [PageMode(name: "dense")])).html()
        #expect(try elements(noRuns)["table"] == nil)
        #expect(noRuns.contains("no run"))
        let emptyRun = ReportPage(PageContent(modes: [PageMode(name: "dense", runs: [PageRun(offeredRate: 1)])])).html()
        #expect(try elements(emptyRun)["table"] == 1)
    }

    @Test("a percentile among the failures lies at the upper edge, with a legend")
    func missedPercentiles() throws {
        let run = PageRun(
            offeredRate: 2, requests: 10, failedByKind: ["timeout": 10], latencies: ["ttft": PageLatency()])
        let html = ReportPage(PageContent(modes: [PageMode(name: "dense", runs: [run, run], focus: 7)])).html()
        _ = try elements(html)
        #expect(html.contains("lies among the failed requests"))
        #expect(html.contains("TTFT p99 among the failed requests"))
        #expect(html.contains(">miss<"))
        #expect(html.contains("no rate passed"))
    }

    @Test("numbers that are none do no harm", arguments: [Double.nan, .infinity, -.infinity, 0, -1, 1e300, 1e-300])
    func oddNumbers(_ odd: Double) throws {
        let latency = PageLatency(
            p50: odd, p90: odd, p99: odd, max: odd, mean: odd, p99Interval: PageInterval(low: odd, high: odd),
            others: [PagePercentile(odd, milliseconds: odd)])
        let run = PageRun(
            offeredRate: odd, achievedRate: odd, requests: 3, latencies: ["ttft": latency], missShares: [odd],
            accuracy: odd, judged: 3, keepRate: odd, ttftQuantiles: [odd, odd, 3], ttftFailures: odd,
            timeline: [
                PageTick(second: .min), PageTick(second: 3, offered: odd, completed: odd, inFlight: odd, failed: odd),
                PageTick(second: 4000, offered: 1), PageTick(second: .max, offered: 1),
            ], stages: [PageStage(name: "", busyShare: odd)])
        let mode = PageMode(
            name: "", verdict: "VALID", maximalRate: odd, maximalRateHigh: odd, unloadedTTFTMilliseconds: odd,
            runs: [run, run, PageRun(offeredRate: 1)], focus: 0)
        let page = PageContent(
            objectives: [PageObjective(percentile: odd, boundMilliseconds: odd)], modes: [mode, mode],
            comparisons: [PageComparison(what: "", of: "", against: "", ratio: odd, low: odd, high: odd)])
        _ = try elements(ReportPage(page).html())
    }

    @Test("long measurements are thinned")
    func size() throws {
        var long = run(3)
        long.timeline = (0..<20_000).map { PageTick(second: $0, offered: 3, completed: 3, inFlight: 2, failed: 1) }
        long.ttftQuantiles = (0..<50_000).map { Double($0) }
        let one = ReportPage(PageContent(modes: [PageMode(name: "dense", runs: [long])])).html()
        #expect(one.utf8.count < 100_000)
        let many = (1...400).map { run(Double($0) / 100) }
        let html = ReportPage(PageContent(modes: [PageMode(name: "dense", runs: many)])).html()
        _ = try elements(html)
        #expect(html.utf8.count < 1_000_000)
    }

    @Test("the same content gives the same bytes")
    func deterministic() {
        #expect(ReportPage(content()).html() == ReportPage(content()).html())
    }

    @Test("ticks are round, few and inside the axis")
    func ticks() {
        var generator = SplitMix64(seed: 7)
        for _ in 0..<2000 {
            let values = (0..<Int.random(in: 1...5, using: &generator)).map { _ in
                pow(10, Double.random(in: -6...9, using: &generator))
            }
            let axis = Axis.covering(values)
            #expect((2...12).contains(axis.ticks.count), "\(values) gave \(axis.ticks)")
            #expect(axis.ticks.allSatisfy { axis.low <= $0 && $0 <= axis.high * (1 + 1e-9) })
            #expect(values.allSatisfy { axis.low <= $0 && $0 <= axis.high })
            #expect(zip(axis.ticks, axis.ticks.dropFirst()).allSatisfy { $0 < $1 })
            #expect(Set(axis.ticks.map(axis.label)).count == axis.ticks.count, "\(axis.ticks.map(axis.label))")
            let steps = axis.isLogarithmic ? axis.ticks : [axis.ticks[1] - axis.ticks[0]]
            for step in steps {
                let leading = step / pow(10, log10(step * (1 + 1e-9)).rounded(.down))
                #expect([1, 2, 5].contains { abs(leading - $0) < 1e-6 }, "\(step)")
            }
        }
    }

    @Test("axes place values between their ends")
    func axes() {
        for axis in [Axis.covering([]), .covering([0]), .covering([.nan, -3]), .linear(from: 5, to: 5)] {
            #expect(axis.low < axis.high && axis.ticks.count >= 2)
        }
        let linear = Axis.covering([4, 8])
        #expect(!linear.isLogarithmic && linear.low == 0 && linear.share(of: linear.high / 2) == 0.5)
        let logarithmic = Axis.covering([1.1, 95])
        #expect(logarithmic.isLogarithmic && logarithmic.low == 1 && logarithmic.high == 100)
        #expect(abs(logarithmic.share(of: 10) - 0.5) < 1e-12)
        for odd in [-Double.infinity, .infinity, .nan, -1, 0, 1e300] {
            #expect((0...1).contains(logarithmic.share(of: odd)) && (0...1).contains(linear.share(of: odd)))
        }
    }

    @Test("numbers have three digits and a unit that fits")
    func numbers() {
        #expect(PageText.number(1.23456) == "1.23" && PageText.number(0) == "0" && PageText.number(12) == "12")
        #expect(PageText.number(999.7) == "1000" && PageText.number(12_345) == "12345")
        #expect(PageText.number(.nan) == PageText.number(nil) && PageText.number(.infinity) == "\u{2013}")
        #expect(PageText.latency(12.34) == "12.3 ms" && PageText.latency(999) == "999 ms")
        #expect(PageText.latency(999.9) == "1 s" && PageText.latency(12_345) == "12.3 s")
        #expect(PageText.percent(0.1234) == "12.3 %")
    }

    @Test("text stands out in both themes by at least 4.5 to 1, lines by 3 to 1")
    func contrast() {
        for theme in [PageStyle.light, PageStyle.dark] {
            for ground in [theme.background, theme.surface] {
                #expect(contrast(theme.ink, ground) >= 4.5 && contrast(theme.muted, ground) >= 4.5)
            }
            for color in theme.series + [theme.bound] {
                #expect(contrast(color, theme.surface) >= 3, "\(color)")
            }
        }
        for badge in PageStyle.badges { #expect(contrast(badge.ink, badge.background) >= 4.5, "\(badge)") }
    }

    /// The contrast ratio of WCAG 2.2 between two `#rrggbb` colours.
    private func contrast(_ first: String, _ second: String) -> Double {
        let luminances = [luminance(first), luminance(second)]
        return (max(luminances[0], luminances[1]) + 0.05) / (min(luminances[0], luminances[1]) + 0.05)
    }

    private func luminance(_ color: String) -> Double {
        let number = UInt32(color.dropFirst(), radix: 16) ?? 0
        let weights: [(shift: UInt32, weight: Double)] = [(16, 0.2126), (8, 0.7152), (0, 0.0722)]
        return weights.reduce(0) { sum, part in
            let share = Double((number >> part.shift) & 255) / 255
            let linear = share <= 0.04045 ? share / 12.92 : pow((share + 0.055) / 1.055, 2.4)
            return sum + part.weight * linear
        }
    }
}

/// Counts the elements a parser meets.
private final class ElementCounter: NSObject, XMLParserDelegate {
    private(set) var counts: [String: Int] = [:]

    func parser(
        _ parser: XMLParser, didStartElement elementName: String, namespaceURI: String?,
        qualifiedName: String?, attributes: [String: String]
    ) {
        counts[elementName, default: 0] += 1
    }
}
