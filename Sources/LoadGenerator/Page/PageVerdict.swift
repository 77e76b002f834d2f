// How verdicts look: a word, a colour and a mark.

/// A verdict as the page shows it; the words are the reports' own.
enum PageVerdict: CaseIterable {
    case valid, missed, inconclusive, measured, invalid, interrupted
    /// A word this page does not know; it is printed as it is.
    case unknown

    init(_ word: String) {
        self =
            switch word.uppercased() {
            case "VALID": .valid
            case "MISSED": .missed
            case "INCONCLUSIVE": .inconclusive
            case "MEASURED": .measured
            case "INVALID": .invalid
            case "INTERRUPTED": .interrupted
            default: .unknown
            }
    }

    /// The class of its colours in the style sheet.
    var styleClass: String {
        switch self {
        case .valid: "valid"
        case .missed: "missed"
        case .inconclusive: "inconclusive"
        case .measured: "measured"
        case .invalid, .interrupted, .unknown: "void"
        }
    }

    /// Whether the run says anything about the server: lines join what counts.
    var counts: Bool {
        switch self {
        case .valid, .missed, .inconclusive, .measured: true
        case .invalid, .interrupted, .unknown: false
        }
    }

    /// Its mark in plots.
    var mark: PlotMark {
        switch self {
        case .valid, .measured: .disc
        case .missed: .cross
        case .inconclusive: .diamond
        case .invalid, .interrupted, .unknown: .square
        }
    }

    /// What its mark says in a legend.
    var legend: String {
        switch self {
        case .valid: "passed (VALID)"
        case .missed: "failed (MISSED)"
        case .inconclusive: "not proved (INCONCLUSIVE)"
        case .measured: "measured"
        case .invalid, .interrupted, .unknown: "not counted (INVALID, INTERRUPTED)"
        }
    }

    /// The word on its colour.
    static func badge(_ word: String) -> String {
        guard !word.isEmpty else { return "" }
        return "<span class=\"badge \(PageVerdict(word).styleClass)\">\(PageText.escaped(word))</span>"
    }
}
