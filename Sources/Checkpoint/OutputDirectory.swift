// A model directory while it is written.

internal import Glibc

/// Makes a directory and remembers what is put there, so that a model that does not get finished leaves nothing behind.
final class OutputDirectory {
    let path: String
    private let isNew: Bool
    private var names: [String] = []
    private var isComplete = false

    /// Makes the directory, unless it exists.
    init(path: String) throws(CheckpointError) {
        self.path = path
        isNew = mkdir(path, 0o777) == 0
        if !isNew, errno != EEXIST {
            throw CheckpointError(
                path: path, place: "", problem: "cannot make the directory: \(String(cString: strerror(errno)))")
        }
    }

    /// Where to write the file of this name.
    func file(_ name: String) -> String {
        names.append(name)
        return "\(path)/\(name)"
    }

    /// Throws if there is a model already.
    func checkHoldsNoModel() throws(CheckpointError) {
        for name in ["config.json", "model.safetensors", "model.safetensors.index.json"]
        where access("\(path)/\(name)", F_OK) == 0 {
            throw CheckpointError(
                path: path, place: name, problem: "the directory holds a model", fix: "give another directory")
        }
    }

    /// Copies those of the files that another model directory has.
    func copy(companions: [String], of source: String) throws(CheckpointError) {
        for name in companions where access("\(source)/\(name)", F_OK) == 0 {
            let original = try MappedFile(path: "\(source)/\(name)")
            let copy = try OutputFile(path: file(name))
            try copy.write(original.withBytes { Array($0) })
            try copy.finish()
        }
    }

    /// All files are there, and stay.
    func complete() { isComplete = true }

    /// Removes what was written, and the directory if it was made for it, unless the model is complete.
    func removeUnlessComplete() {
        guard !isComplete else { return }
        for name in names { unlink("\(path)/\(name)") }
        names = []
        if isNew { rmdir(path) }
    }
}
