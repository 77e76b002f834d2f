// A plot with its caption and legend.

/// One entry of a legend.
struct LegendEntry {
    /// What stands before the text: a line, a mark, an area.
    enum Sample {
        case line(styleClass: String)
        case mark(PlotMark)
        case area(styleClass: String)
    }

    var sample: Sample
    /// The class of the series' colour; empty for the text's colour.
    var series = ""
    var text: String

    var html: String {
        let drawing =
            switch sample {
            case .line(let styleClass): "<line class=\"\(styleClass)\" x1=\"1\" y1=\"8\" x2=\"27\" y2=\"8\"/>"
            case .mark(let mark): mark.drawing(x: 14, y: 8)
            case .area(let styleClass):
                "<rect class=\"\(styleClass)\" x=\"4\" y=\"2\" width=\"20\" height=\"12\"/>"
            }
        return "<li><svg class=\"\(series.isEmpty ? "plain" : series)\" aria-hidden=\"true\" viewBox=\"0 0 28 16\">"
            + "\(drawing)</svg>\(PageText.escaped(text))</li>"
    }
}

/// A figure of the page.
struct PlotFigure {
    var title: String
    /// What to look for, in a sentence or two.
    var caption: String
    var legend: [LegendEntry]
    /// An SVG element.
    var picture: String

    var html: String {
        let entries = legend.isEmpty ? "" : "<ul class=\"legend\">\(legend.map(\.html).joined())</ul>"
        let sentence = caption.isEmpty ? "" : "<p>\(PageText.escaped(caption))</p>"
        return "<figure><figcaption><h3>\(PageText.escaped(title))</h3>\(sentence)</figcaption>\(entries)"
            + "<div class=\"plot\">\(picture)</div></figure>\n"
    }
}
