// JSON written to files.

internal import FoundationEssentials

extension JSONValue {
    /// Writes the value as a file of its own, indented and with sorted keys.
    func write(to path: String) throws(CheckpointError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        let data: Data
        do { data = try encoder.encode(self) } catch {
            throw CheckpointError(path: path, place: "", problem: "cannot be encoded: \(error)")
        }
        let file = try OutputFile(path: path)
        try file.write(Array(data))
        try file.finish()
    }
}
