// Weights as bytes, in the layout they are multiplied in.

/// The memory of one weight matrix, to be copied out and, in another process, in again.
///
/// It holds the weights for as long as it is there. Writing to it is for whoever fills weights before their first product.
package struct WeightMemory: @unchecked Sendable {  // the owner does not change after it was filled
    /// What the bytes mean, besides type and shape: they fit weights of the same shape and layout only.
    package let layout: String
    /// Sections of one or more pieces. A section's bytes, its pieces one after the other, do not depend on the threads;
    /// how they are cut does. All pieces of a section but its last are whole multiples of 64 bytes.
    package let sections: [[UnsafeMutableRawBufferPointer]]
    /// Whose memory it is.
    package let owner: AnyObject

    /// Names the memory of `owner`.
    package init(layout: String, sections: [[UnsafeMutableRawBufferPointer]], owner: AnyObject) {
        self.layout = layout
        self.sections = sections
        self.owner = owner
    }

    /// Bytes of all sections.
    package var byteCount: Int { sections.joined().reduce(0) { $0 + $1.count } }
}
