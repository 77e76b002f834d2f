// The marks of single points.

/// The shape of a point.
enum PlotMark {
    /// A filled circle.
    case disc
    /// A small filled circle, for a second line.
    case dot
    /// Two crossed lines.
    case cross
    /// A diamond with an empty middle.
    case diamond
    /// A square with an empty middle.
    case square
    /// A filled triangle that points up: the value lies beyond the edge.
    case beyond

    /// The shape around a place.
    ///
    /// - Parameters:
    ///   - x: its middle in the picture's units.
    ///   - y: its middle in the picture's units.
    ///   - tooltip: what a reader sees on pointing at it; unescaped.
    func drawing(x: Double, y: Double, tooltip: String = "") -> String {
        let title = tooltip.isEmpty ? "" : "<title>\(PageText.escaped(tooltip))</title>"
        let place = { (dx: Double, dy: Double) in "\(Plot.coordinate(x + dx)) \(Plot.coordinate(y + dy))" }
        switch self {
        case .disc, .dot:
            let radius = self == .disc ? "5" : "3"
            return "<circle class=\"full\" cx=\"\(Plot.coordinate(x))\" cy=\"\(Plot.coordinate(y))\" "
                + "r=\"\(radius)\">\(title)</circle>"
        case .cross:
            return path("M\(place(-5, -5))L\(place(5, 5))M\(place(-5, 5))L\(place(5, -5))", "stroke", title)
        case .diamond:
            return path("M\(place(0, -6.5))L\(place(6.5, 0))L\(place(0, 6.5))L\(place(-6.5, 0))Z", "hollow", title)
        case .square:
            return path("M\(place(-5, -5))L\(place(5, -5))L\(place(5, 5))L\(place(-5, 5))Z", "hollow", title)
        case .beyond:
            return path("M\(place(0, -7))L\(place(6.5, 5))L\(place(-6.5, 5))Z", "full", title)
        }
    }

    private func path(_ data: String, _ styleClass: String, _ title: String) -> String {
        "<path class=\"\(styleClass)\" d=\"\(data)\">\(title)</path>"
    }
}
