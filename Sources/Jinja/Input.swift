// How a caller makes the values that a template is given.

extension Value {
    /// A mapping; keys come in this order. `owner`: whose words the template writes while a loop stands at it.
    public static func mapping(
        _ entries: [(key: Text, value: Value)], owner: UInt32 = 0
    ) throws(TemplateError) -> Value {
        var contents = MappingContents()
        for entry in entries { contents.set(.text(entry.key.bytes), entry.value, as: .text(entry.key)) }
        return .mapping(try Mapping(contents, owner: owner))
    }

    /// A list.
    public static func array(_ items: [Value]) throws(TemplateError) -> Value { try .list(items) }
}

extension Text {
    /// As a Swift string.
    public var description: String { string }
}
