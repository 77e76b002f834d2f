// Attention that reaches back only so far.

/// A window that keys must be in to be seen, in some layers or all.
public struct SlidingWindow: Sendable, Equatable {
    /// A query at position p sees keys at positions over p - size, at least 1: itself and the `size - 1` before it.
    public var size: Int
    /// The layers it holds for; the others see everything.
    public var layers: Set<Int>

    /// A window for some layers.
    public init(size: Int, layers: Set<Int>) {
        self.size = size
        self.layers = layers
    }

    /// A window for a run of layers.
    public init(size: Int, layers: Range<Int>) {
        self.init(size: size, layers: Set(layers))
    }
}

extension ModelConfiguration {
    /// The window of layer `layer`: a query at position p sees keys at positions over p - window. Nil: it sees all.
    public func slidingWindow(layer: Int) -> Int? {
        guard let slidingWindow, slidingWindow.layers.contains(layer) else { return nil }
        return slidingWindow.size
    }
}
