// The pieces of plots as SVG.

import Foundation

/// A rectangle with two axes, and what is drawn into it.
///
/// Lengths are the picture's units, ``width`` of them across, from the upper left corner.
struct Plot {
    /// The width of every picture.
    static let width = 640.0
    /// Where the rectangle begins.
    static let left = 66.0
    /// Where the rectangle ends.
    static let right = width - 18

    /// The upper edge of the rectangle.
    let top: Double
    /// The lower edge of the rectangle.
    let bottom: Double
    let horizontal: Axis
    let vertical: Axis
    /// SVG elements, the later over the earlier.
    private(set) var pieces: [String] = []
    /// Texts go over everything else.
    private var texts: [String] = []
    private var labels = LabelPlacement()

    /// Makes the axes.
    ///
    /// - Parameter printsHorizontal: false leaves out the lower axis' numbers and title.
    init(top: Double, bottom: Double, horizontal: Axis, vertical: Axis, printsHorizontal: Bool = true) {
        self.top = top
        self.bottom = bottom
        self.horizontal = horizontal
        self.vertical = vertical
        drawAxes(printsHorizontal)
    }

    /// A length as it is written: one place behind the point.
    static func coordinate(_ value: Double) -> String {
        let text = String(format: "%.1f", PageText.finite(value) ?? 0)
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }

    /// The horizontal place of a value.
    func x(_ value: Double) -> Double { Self.left + horizontal.share(of: value) * (Self.right - Self.left) }

    /// The vertical place of a value.
    func y(_ value: Double) -> Double { bottom - vertical.share(of: value) * (bottom - top) }

    private mutating func drawAxes(_ printsHorizontal: Bool) {
        for tick in vertical.ticks {
            let place = y(tick)
            segment("grid", Self.left, place, Self.right, place)
            text(vertical.label(tick), Self.left - 8, place + 4.5, "tick end")
        }
        for tick in horizontal.ticks {
            let place = x(tick)
            segment("grid", place, top, place, bottom)
            if printsHorizontal { text(horizontal.label(tick), place, bottom + 18, "tick middle") }
        }
        segment("axis", Self.left, bottom, Self.right, bottom)
        segment("axis", Self.left, top, Self.left, bottom)
        if printsHorizontal { text(horizontal.title, (Self.left + Self.right) / 2, bottom + 38, "name middle") }
        let middle = Self.coordinate((top + bottom) / 2)
        pieces.append(
            "<text class=\"name middle\" transform=\"translate(16 \(middle)) rotate(-90)\">"
                + "\(PageText.escaped(vertical.title))</text>")
    }

    /// Adds any element.
    mutating func add(_ piece: String) { pieces.append(piece) }

    /// Adds a straight line between two places.
    mutating func segment(_ styleClass: String, _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double) {
        pieces.append(
            "<line class=\"\(styleClass)\" x1=\"\(Self.coordinate(x1))\" y1=\"\(Self.coordinate(y1))\" "
                + "x2=\"\(Self.coordinate(x2))\" y2=\"\(Self.coordinate(y2))\"/>")
    }

    /// Adds a line through places; nothing for fewer than two.
    mutating func line(_ styleClass: String, _ places: [(x: Double, y: Double)]) {
        guard places.count > 1 else { return }
        let points = places.map { "\(Self.coordinate($0.x)),\(Self.coordinate($0.y))" }.joined(separator: " ")
        pieces.append("<polyline class=\"\(styleClass)\" points=\"\(points)\"/>")
    }

    /// Adds a text that is drawn over all else.
    mutating func text(_ content: String, _ x: Double, _ y: Double, _ styleClass: String) {
        texts.append(
            "<text class=\"\(styleClass)\" x=\"\(Self.coordinate(x))\" y=\"\(Self.coordinate(y))\">"
                + "\(PageText.escaped(content))</text>")
    }

    /// Keeps labels away from a place.
    mutating func keepFree(x: Double, y: Double) { labels.occupy(x: x, y: y) }

    /// Adds a text at the first of the places where it covers no other label.
    mutating func label(_ content: String, at places: [LabelPlacement.Place]) {
        guard let place = labels.place(content, at: places) else { return }
        text(content, place.x, place.y, "label \(place.anchor.rawValue)")
    }

    /// Adds a labelled bound across the rectangle; nothing when it cannot be drawn.
    mutating func horizontalBound(_ value: Double, _ content: String) {
        guard let value = PageText.finite(value), value > 0 else { return }
        let place = y(value)
        segment("bound", Self.left, place, Self.right, place)
        label(
            content,
            at: [
                .init(x: Self.left + 6, y: place - 6, anchor: .start),
                .init(x: Self.right - 6, y: place - 6, anchor: .end),
                .init(x: Self.left + 6, y: place + 16, anchor: .start),
                .init(x: Self.right - 6, y: place + 16, anchor: .end),
            ])
    }

    /// Adds a labelled line from top to bottom, its label in rows above the rectangle.
    mutating func verticalBound(_ value: Double, _ content: String, styleClass: String) {
        guard let value = PageText.finite(value), value > 0 else { return }
        let place = x(value)
        segment(styleClass, place, top - 6, place, bottom)
        let rows = stride(from: top - 10, to: 10, by: -17)
        let places: [LabelPlacement.Place] = rows.flatMap { row -> [LabelPlacement.Place] in
            [
                .init(x: place, y: row, anchor: .middle), .init(x: place - 3, y: row, anchor: .start),
                .init(x: place + 3, y: row, anchor: .end),
            ]
        }
        label(content, at: places)
    }

    /// All elements in drawing order.
    var drawing: String { (pieces + texts).joined() }

    /// A picture of plots.
    ///
    /// - Parameters:
    ///   - height: in the picture's units.
    ///   - description: what is to be seen, for those who do not see it; unescaped.
    static func picture(height: Double, description: String, _ drawings: [String]) -> String {
        "<svg role=\"img\" viewBox=\"0 0 \(coordinate(width)) \(coordinate(height))\" "
            + "aria-label=\"\(PageText.escaped(description))\">\(drawings.joined())</svg>"
    }

    /// The class of a series' colour; the colours repeat.
    static func series(_ index: Int) -> String { "series\(index % PageStyle.seriesCount)" }
}
