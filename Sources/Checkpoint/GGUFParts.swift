// A GGUF model that may be split over several files.

/// One GGUF file, or all parts of a split one.
///
/// Parts are named `NAME-00001-of-00003.gguf` and say `split.no` (from 0), `split.count` and `split.tensors.count` (of all
/// parts together); the first has the metadata. Any of them stands for the model.
public struct GGUFParts: Sendable {
    /// The parts in order, at least one.
    private let files: [GGUFFile]

    /// The part with the model's metadata and its vocabulary.
    public var first: GGUFFile { files[0] }

    /// The number of files.
    public var count: Int { files.count }

    /// The tensors of all parts with the file each is in, in order.
    var tensors: [(tensor: GGUFTensor, file: GGUFFile)] {
        files.flatMap { file in file.tensors.map { ($0, file) } }
    }

    /// Opens the file and the other parts it belongs to.
    ///
    /// - Throws: for a part that is missing, that another split or another place in this one made, or that holds a
    ///   tensor again; the error names it.
    public init(path: String) throws(CheckpointError) {
        let named = try GGUFFile(path: path)
        let count = try Self.integer("split.count", of: named) ?? 1
        guard count > 1 else {
            files = [named]
            try checkTensors()
            return
        }
        let name = try GGUFPartName(path: path, count: count)
        var files: [GGUFFile] = []
        for index in 0..<count {
            let file = index == name.index ? named : try Self.open(name.path(of: index), index: index, count: count)
            try Self.check(file, index: index, count: count)
            files.append(file)
        }
        self.files = files
        try checkTensors()
    }

    private static func open(_ path: String, index: Int, count: Int) throws(CheckpointError) -> GGUFFile {
        guard GGUFFile.isFile(path) else {
            throw CheckpointError(
                path: path, place: "", problem: "part \(index + 1) of \(count) of the model is missing",
                fix: "put all parts into one directory, under the names they had")
        }
        return try GGUFFile(path: path)
    }

    /// Throws unless the part says of itself what its name says.
    private static func check(_ file: GGUFFile, index: Int, count: Int) throws(CheckpointError) {
        for (key, expected) in [("split.count", count), ("split.no", index)] {
            let found = try integer(key, of: file)
            guard found == expected else {
                throw CheckpointError(
                    path: file.path, place: key,
                    problem: "\(found.map(String.init) ?? "nothing") where \(expected) belongs to part \(index + 1) of "
                        + "\(count)", fix: "the parts are of different splits or were renamed: fetch them again")
            }
        }
    }

    /// Throws unless all tensors are there, each once.
    private func checkTensors() throws(CheckpointError) {
        var seen: [String: String] = [:]
        for (tensor, file) in tensors {
            guard let other = seen.updateValue(file.path, forKey: tensor.name) else { continue }
            throw CheckpointError(
                path: file.path, place: tensor.name, problem: "the tensor is in \(other) too",
                fix: "the parts are of different splits: fetch them again")
        }
        for file in files {
            guard let expected = try Self.integer("split.tensors.count", of: file), expected != seen.count else {
                continue
            }
            throw CheckpointError(
                path: file.path, place: "split.tensors.count",
                problem: "the model has \(expected) tensors, its \(files.count) \(files.count == 1 ? "part" : "parts") "
                    + "hold \(seen.count)", fix: "a part is damaged or of another split: fetch the parts again")
        }
    }

    private static func integer(_ key: String, of file: GGUFFile) throws(CheckpointError) -> Int? {
        try file.value(key, "an integer", \.integer)
    }
}

/// The name of a part: `PREFIX-00002-of-00003.gguf`.
private struct GGUFPartName {
    /// More parts than any model has; the names have five digits.
    static let mostParts = 99_999

    /// Directory and name before the numbers.
    private let prefix: String
    private let count: Int
    /// Which part it names, from 0.
    let index: Int

    /// - Parameter count: the parts that the file says there are.
    init(path: String, count: Int) throws(CheckpointError) {
        let tail = "-00000-of-00000.gguf"
        let name = path.utf8.suffix(tail.utf8.count)
        let digits = Array(name)
        let isForm = zip(digits, tail.utf8).allSatisfy { found, wanted in
            wanted == UInt8(ascii: "0") ? (0x30...0x39).contains(found) : found == wanted
        }
        func number(_ range: Range<Int>) -> Int { digits[range].reduce(0) { $0 * 10 + Int($1) - 0x30 } }
        guard digits.count == tail.utf8.count, isForm, count <= Self.mostParts, number(10..<15) == count,
            (1...count).contains(number(1..<6))
        else {
            throw CheckpointError(
                path: path, place: "split.count",
                problem:
                    "the file is one of \(count) parts of a model, and its name does not end as such a part's does",
                fix: "give the parts the names they had: ...-00001-of-\(Self.padded(count)).gguf and so on")
        }
        prefix = String(path.dropLast(tail.count))
        self.count = count
        index = number(1..<6) - 1
    }

    /// The path of part `index`, from 0.
    func path(of index: Int) -> String { "\(prefix)-\(Self.padded(index + 1))-of-\(Self.padded(count)).gguf" }

    private static func padded(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }
}
