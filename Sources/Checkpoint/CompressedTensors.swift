// Int8 weights as the library compressed-tensors keeps them: format "int-quantized", a scale for every output.
//
// A linear layer `X` has `X.weight` (I8, `[outputs, inputs]`) and `X.weight_scale` (`[outputs, 1]`); a weight is the
// product. Activations are quantised token by token as they come (W8A8), which leaves nothing in the files.

/// The `quantization_config` of such a model.
enum CompressedTensors {
    /// What the scales of tensor `name` are called.
    static func scaleName(_ name: String) -> String { name + "_scale" }

    /// Whether this tensor of the layout is one that is quantised: the linear layers but the head.
    static func covers(_ tensor: TensorLayout.Tensor) -> Bool {
        tensor.shape.count == 2 && tensor.name.hasSuffix("_proj.weight")
    }

    /// What config.json says of a model all of whose covered tensors are quantised.
    static var configuration: JSONValue {
        func scheme(strategy: String, isDynamic: Bool) -> JSONValue {
            .object([
                "num_bits": .integer(8), "type": .string("int"), "symmetric": .bool(true),
                "strategy": .string(strategy), "dynamic": .bool(isDynamic), "group_size": .null,
            ])
        }
        return .object([
            "quant_method": .string("compressed-tensors"), "format": .string("int-quantized"),
            "quantization_status": .string("compressed"), "ignore": .array([.string("lm_head")]),
            "config_groups": .object([
                "group_0": .object([
                    "targets": .array([.string("Linear")]),
                    "weights": scheme(strategy: "channel", isDynamic: false),
                    "input_activations": scheme(strategy: "token", isDynamic: true), "output_activations": .null,
                ])
            ]),
        ])
    }

    /// Throws for any other way of quantising.
    static func check(_ quantization: JSONObject) throws(CheckpointError) {
        let fix =
            "supported is quant_method compressed-tensors with format int-quantized, 8-bit symmetric weights per "
            + "channel; or use the F32, F16 or BF16 checkpoint of the model"
        func require(_ object: JSONObject, _ key: String, _ wanted: JSONValue) throws(CheckpointError) {
            let found = object.fields[key]
            guard found == wanted else {
                throw object.error(key, "unsupported: \(found?.kind ?? "missing")", fix: fix)
            }
        }
        func check(_ scheme: JSONObject, strategy: String, isDynamic: Bool) throws(CheckpointError) {
            try require(scheme, "num_bits", .integer(8))
            try require(scheme, "type", .string("int"))
            try require(scheme, "symmetric", .bool(true))
            try require(scheme, "strategy", .string(strategy))
            try require(scheme, "dynamic", .bool(isDynamic))
        }
        try require(quantization, "quant_method", .string("compressed-tensors"))
        try require(quantization, "format", .string("int-quantized"))
        guard try quantization.object("kv_cache_scheme") == nil else {
            throw quantization.error("kv_cache_scheme", "quantised caches are not supported", fix: fix)
        }
        guard let groups = try quantization.object("config_groups") else {
            throw quantization.error("config_groups", "missing", fix: fix)
        }
        for name in groups.fields.keys.sorted() {
            guard let group = try groups.object(name) else { throw groups.error(name, "is null", fix: fix) }
            guard let weights = try group.object("weights") else { throw group.error("weights", "missing", fix: fix) }
            try check(weights, strategy: "channel", isDynamic: false)
            if let input = try group.object("input_activations") {
                try check(input, strategy: "token", isDynamic: true)
            }
            guard try group.object("output_activations") == nil else {
                throw group.error("output_activations", "quantised outputs are not supported", fix: fix)
            }
        }
    }
}
