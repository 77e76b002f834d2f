// Writes small GGUF files for tests.

/// The metadata of a GGUF file, version 3, without tensors.
struct GGUFWriter {
    private var entries: [(key: String, value: [UInt8])] = []

    private static func little(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    private static func text(_ text: String) -> [UInt8] { little(UInt64(text.utf8.count)) + Array(text.utf8) }

    mutating func add(_ key: String, _ value: String) {
        entries.append((key, Self.little(UInt32(8)) + Self.text(value)))
    }
    mutating func add(_ key: String, _ value: UInt32) {
        entries.append((key, Self.little(UInt32(4)) + Self.little(value)))
    }
    mutating func add(_ key: String, _ value: Bool) { entries.append((key, Self.little(UInt32(7)) + [value ? 1 : 0])) }
    mutating func add(_ key: String, _ values: [String]) { addArray(key, 8, values.map(Self.text)) }
    mutating func add(_ key: String, _ values: [Int32]) { addArray(key, 5, values.map(Self.little)) }
    mutating func add(_ key: String, _ values: [Float]) { addArray(key, 6, values.map { Self.little($0.bitPattern) }) }

    private mutating func addArray(_ key: String, _ type: UInt32, _ values: [[UInt8]]) {
        let head = Self.little(UInt32(9)) + Self.little(type) + Self.little(UInt64(values.count))
        entries.append((key, head + values.flatMap { $0 }))
    }

    mutating func remove(_ key: String) { entries.removeAll { $0.key == key } }

    mutating func replace(_ key: String, _ value: String) {
        remove(key)
        add(key, value)
    }
    mutating func replace(_ key: String, _ value: UInt32) {
        remove(key)
        add(key, value)
    }
    mutating func replace(_ key: String, _ value: [String]) {
        remove(key)
        add(key, value)
    }
    mutating func replace(_ key: String, _ value: [Int32]) {
        remove(key)
        add(key, value)
    }

    var bytes: [UInt8] {
        Array("GGUF".utf8) + Self.little(UInt32(3)) + Self.little(UInt64(0)) + Self.little(UInt64(entries.count))
            + entries.flatMap { Self.text($0.key) + $0.value }
    }
}
