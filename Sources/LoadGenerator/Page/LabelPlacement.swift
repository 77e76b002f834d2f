// Keeps labels from covering each other.

/// The labels of a plot so far.
struct LabelPlacement {
    /// Which end of a text stands at its place.
    enum Anchor: String {
        case start, middle, end
    }

    /// Where a text may stand, by its base line.
    struct Place {
        var x: Double
        var y: Double
        var anchor: Anchor
    }

    private struct Box {
        var left: Double
        var right: Double
        var top: Double
        var bottom: Double

        func covers(_ other: Box) -> Bool {
            left < other.right && other.left < right && top < other.bottom && other.top < bottom
        }
    }

    private var taken: [Box] = []

    /// A generous guess for a proportional font of 14 units.
    private static let characterWidth = 7.4

    /// Keeps the surroundings of a point free.
    mutating func occupy(x: Double, y: Double) {
        taken.append(Box(left: x - 7, right: x + 7, top: y - 7, bottom: y + 7))
    }

    /// The first place that is free and inside the picture, which is then taken; nil when there is none.
    mutating func place(_ text: String, at places: [Place]) -> Place? {
        let width = Double(text.count) * Self.characterWidth
        for place in places {
            let left =
                switch place.anchor {
                case .start: place.x
                case .middle: place.x - width / 2
                case .end: place.x - width
                }
            let box = Box(left: left, right: left + width, top: place.y - 12, bottom: place.y + 3)
            guard box.left >= 0, box.right <= Plot.width, box.top >= 0 else { continue }
            if taken.contains(where: { $0.covers(box) }) { continue }
            taken.append(box)
            return place
        }
        return nil
    }
}
