// The rotary parameters of config.json.

/// `rope_scaling`, or `rope_parameters` as newer files call it, and the `rope_theta` beside or inside it.
///
/// Where a file has both, transformers takes `rope_scaling` and forgets the other; so does this, and refuses a file whose
/// two objects disagree about the base.
struct RopeReader {
    /// Factors and bases outside of these are mistakes: frequencies would vanish or overflow.
    static let factors = 1e-3...1e6
    static let bases = 1e-3...1e15

    private let config: JSONObject
    /// What counts.
    private let rope: JSONObject?
    /// `rope_parameters` where `rope_scaling` goes before it.
    private let other: JSONObject?

    /// Throws for rotary parameters that differ from layer to layer or rotate only part of a head.
    init(_ config: JSONObject) throws(CheckpointError) {
        self.config = config
        let scaling = try config.object("rope_scaling")
        let parameters = try config.object("rope_parameters")
        if let scaling, !scaling.fields.isEmpty {
            (rope, other) = (scaling, parameters)
        } else {
            (rope, other) = (parameters, nil)
        }
        for object in [rope, other].compactMap(\.self) { try Self.checkWhole(object) }
        try Self.checkPart(config)
    }

    private static func checkWhole(_ rope: JSONObject) throws(CheckpointError) {
        if let nested = rope.fields.filter({ if case .object = $0.value { true } else { false } }).keys.min() {
            throw rope.error(nested, "rotary parameters of their own for some layers are not supported")
        }
        try checkPart(rope)
        if case .array? = rope.fields["mrope_section"] {
            throw rope.error("mrope_section", "positions of more than one dimension are not supported")
        }
    }

    private static func checkPart(_ object: JSONObject) throws(CheckpointError) {
        if let part = try object.number("partial_rotary_factor"), part != 1 {
            throw object.error("partial_rotary_factor", "\(part): heads that are rotated in part are not supported")
        }
    }

    /// The base of the frequencies.
    func theta() throws(CheckpointError) -> Double {
        let inside = try rope?.number("rope_theta")
        let beside = try config.number("rope_theta")
        let theta = inside ?? beside ?? 10_000
        guard Self.bases.contains(theta) else {
            let place = inside == nil ? config : rope ?? config
            throw place.error("rope_theta", "\(theta) is not a positive number that can be a base")
        }
        if let other, let claimed = try other.number("rope_theta"), claimed != theta {
            throw other.error(
                "rope_theta", "\(claimed), but rope_scaling beside it goes first, and with it the base is \(theta)",
                fix: "keep one of rope_parameters and rope_scaling")
        }
        return theta
    }

    /// The stretching of the frequencies, or nil.
    func scaling() throws(CheckpointError) -> RopeScaling? {
        guard let rope else { return nil }
        let type = try Self.type(of: rope)
        if let other, let claimed = try Self.type(of: other), claimed != "default", claimed != type {
            throw other.error(
                "rope_type",
                "\"\(claimed.prefix(80))\", but rope_scaling beside it is \"\((type ?? "default").prefix(80))\"",
                fix: "keep one of rope_parameters and rope_scaling")
        }
        switch type {
        case nil, "default":
            return nil
        case "linear":
            return .linear(factor: try factor(of: rope))
        case "llama3":
            let (low, high) = (try positive("low_freq_factor", of: rope), try positive("high_freq_factor", of: rope))
            guard high > low else {
                throw rope.error("high_freq_factor", "\(high) is not more than low_freq_factor, which is \(low)")
            }
            return .llama3(
                factor: try factor(of: rope), lowFrequencyFactor: low, highFrequencyFactor: high,
                originalContext: try rope.integer("original_max_position_embeddings", in: 1...(1 << 30)))
        case .some(let type):
            throw rope.error(
                "rope_type", "unsupported scaling \"\(type.prefix(80))\"",
                fix: "supported are default, linear and llama3")
        }
    }

    private static func type(of rope: JSONObject) throws(CheckpointError) -> String? {
        if let type = try rope.string("rope_type") { return type }
        return try rope.string("type")
    }

    private func positive(_ key: String, of rope: JSONObject) throws(CheckpointError) -> Double {
        guard let value = try rope.number(key) else { throw rope.error(key, "missing") }
        guard value > 0, value.isFinite else { throw rope.error(key, "\(value) is not positive") }
        return value
    }

    private func factor(of rope: JSONObject) throws(CheckpointError) -> Double {
        let factor = try positive("factor", of: rope)
        guard Self.factors.contains(factor) else {
            throw rope.error("factor", "\(factor) is outside \(Self.factors.lowerBound) to \(Self.factors.upperBound)")
        }
        return factor
    }
}
