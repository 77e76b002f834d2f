// A JSON file of a model directory, and its members with errors that name them.

internal import Checkpoint

/// Reads members of a JSON file; every complaint names the file and the member.
struct JSONFile {
    let path: String
    let root: JSON

    /// Reads and parses the file at `path`, whose top must be an object.
    init(path: String) throws(TokenizerError) {
        let file: MappedFile
        do throws(CheckpointError) {
            file = try MappedFile(path: path)
        } catch {
            throw TokenizerError(path: path, place: error.place, problem: error.problem, fix: error.fix)
        }
        guard file.count <= TokenizerLimits.fileBytes else {
            throw TokenizerError(
                path: path, place: "", problem: "\(file.count) bytes, at most \(TokenizerLimits.fileBytes) are accepted"
            )
        }
        let parsed: Result<JSON, JSONParser.Fault> = file.withBytes { bytes in
            do throws(JSONParser.Fault) {
                return .success(try JSONParser.parse(bytes))
            } catch {
                return .failure(error)
            }
        }
        switch parsed {
        case .success(let root):
            guard root.object != nil else {
                throw TokenizerError(path: path, place: "", problem: "expected a JSON object")
            }
            self.path = path
            self.root = root
        case .failure(let fault):
            throw TokenizerError(
                path: path, place: "byte \(fault.offset)", problem: "not valid JSON: \(fault.problem)",
                fix: "the file is cut short or damaged: fetch it again")
        }
    }

    /// An error at `place`.
    func error(_ place: String, _ problem: String, fix: String? = nil) -> TokenizerError {
        TokenizerError(path: path, place: place, problem: problem, fix: fix)
    }

    /// An error for something valid that is not implemented; `supported` lists what is.
    func unsupported(_ place: String, _ what: String, supported: String) -> TokenizerError {
        error(place, "\(what) is not supported", fix: "supported: \(supported)")
    }

    /// A member, converted; throws when it is missing or has another type.
    func require<T>(
        _ key: String, of value: JSON, at place: String, _ expected: String, _ convert: (JSON) -> T?
    ) throws(TokenizerError) -> T {
        guard let found = try optional(key, of: value, at: place, expected, convert) else {
            throw error(place.isEmpty ? key : "\(place).\(key)", "is missing, expected \(expected)")
        }
        return found
    }

    /// A member, converted; nil when it is missing or null. Throws when it has another type.
    func optional<T>(
        _ key: String, of value: JSON, at place: String, _ expected: String, _ convert: (JSON) -> T?
    ) throws(TokenizerError) -> T? {
        guard let member = value[key] else { return nil }
        guard let converted = convert(member) else {
            throw error(place.isEmpty ? key : "\(place).\(key)", "expected \(expected)")
        }
        return converted
    }

    /// The `type` of a component.
    func type(of value: JSON, at place: String) throws(TokenizerError) -> String {
        try require("type", of: value, at: place, "a string", \.text)
    }

    /// A flag with a default.
    func flag(_ key: String, of value: JSON, at place: String, default fallback: Bool) throws(TokenizerError) -> Bool {
        try optional(key, of: value, at: place, "true or false", \.boolean) ?? fallback
    }

    /// The members of a Sequence component, at most a handful.
    func parts(_ key: String, of value: JSON, at place: String) throws(TokenizerError) -> [JSON] {
        let parts = try require(key, of: value, at: place, "an array", \.array)
        guard parts.count <= 32 else {
            throw error("\(place).\(key)", "\(parts.count) entries, at most 32 are accepted")
        }
        return parts
    }
}
