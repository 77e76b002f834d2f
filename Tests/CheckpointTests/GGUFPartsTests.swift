// Models split over several GGUF files: read whole from any part, or the part at fault is named.

import Checkpoint
import Foundation
import Testing

@Suite struct GGUFPartsTests {
    private typealias Value = GGUFModel.Value

    /// A model with a head of its own, cut into three: the metadata and the embedding, a layer, the rest.
    private func parts() -> [GGUFModel] {
        var whole = GGUFModel.small()
        whole.tensors.append(.init("output.weight", 8, 6, value: 7))
        let (first, second) = (whole.tensors[..<1], whole.tensors[1..<9])
        return [first, second, whole.tensors[9...]].enumerated().map { index, tensors in
            var part = GGUFModel(metadata: index == 0 ? whole.metadata : [:], tensors: Array(tensors))
            part.metadata["split.no"] = .size(index)
            part.metadata["split.count"] = .size(3)
            part.metadata["split.tensors.count"] = .size(whole.tensors.count)
            return part
        }
    }

    private func path(_ directory: TemporaryDirectory, _ index: Int) -> String {
        directory.path + "/tiny-0000\(index + 1)-of-00003.gguf"
    }

    private func write(_ parts: [GGUFModel?]) throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        for (index, part) in parts.enumerated() {
            guard let part else { continue }
            try Data(part.bytes).write(to: URL(fileURLWithPath: path(directory, index)))
        }
        return directory
    }

    @Test func anyPartStandsForTheModel() throws {
        let directory = try write(parts())
        let single = try TemporaryDirectory()
        var model = GGUFModel.small()
        model.tensors.append(.init("output.weight", 8, 6, value: 7))
        let whole = try model.open(in: single)
        for index in 0..<3 {
            let split = try Checkpoint(path: path(directory, index))
            #expect(split.configuration == whole.configuration && !split.configuration.tiedEmbeddings)
            #expect(split.files == (0..<3).map { path(directory, $0) } && split.notes == [])
            #expect(try split.fingerprint() == whole.fingerprint())
            for tensor in TensorLayout(whole.configuration).tensors {
                #expect(try values(split, tensor) == values(whole, tensor), "\(tensor.name)")
            }
            #expect(try GGUFParts(path: path(directory, index)).first.path == path(directory, 0))
        }
    }

    @Test func aMissingPartIsNamed() throws {
        for missing in 0..<3 {
            var parts: [GGUFModel?] = parts()
            parts[missing] = nil
            let directory = try write(parts)
            let error = #expect(throws: CheckpointError.self) {
                try Checkpoint(path: path(directory, missing == 1 ? 2 : 1))
            }
            #expect(error?.path == path(directory, missing), "\(String(describing: error))")
            #expect(error?.problem.contains("part \(missing + 1) of 3") == true)
        }
    }

    @Test func partsThatDoNotBelongTogetherAreNamed() throws {
        func fault(_ change: (inout [GGUFModel]) -> Void) throws -> CheckpointError? {
            var parts = parts()
            change(&parts)
            let directory = try write(parts)
            do throws(CheckpointError) {
                _ = try Checkpoint(path: path(directory, 0))
                return nil
            } catch {
                return error
            }
        }
        #expect(try fault { _ in } == nil)
        let swapped = try fault { $0.swapAt(1, 2) }
        #expect(swapped?.place == "split.no" && swapped?.path.hasSuffix("-00002-of-00003.gguf") == true)
        #expect(try fault { $0[2].metadata["split.count"] = .size(4) }?.place == "split.count")
        #expect(try fault { $0[2].metadata["split.count"] = nil }?.place == "split.count")
        #expect(try fault { $0[1].metadata["split.no"] = .text("1") }?.place == "split.no")
        #expect(try fault { $0[1].metadata["split.tensors.count"] = .size(13) }?.place == "split.tensors.count")
        // A tensor too few, and one that is there twice.
        #expect(try fault { $0[1].tensors.removeLast() }?.place == "split.tensors.count")
        let twice = try fault { $0[2].tensors.append($0[1].tensors[0]) }
        #expect(twice?.place == parts()[1].tensors[0].name && twice?.problem.contains("00002-of-00003") == true)
    }

    /// What a lone part of a split is called says where the others are.
    @Test(arguments: ["tiny.gguf", "tiny-00001-of-00002.gguf", "tiny-00004-of-00003.gguf", "tiny-0001-of-0003.gguf"])
    func aPartUnderAnotherNameIsRefused(name: String) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/" + name
        try Data(parts()[0].bytes).write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: CheckpointError.self) { try Checkpoint(path: path) }
        #expect(error?.place == "split.count" && error?.fix?.contains("00003") == true)
    }

    /// One part is a whole model; a head that it lacks is not tied unless it says that nothing is missing.
    @Test func aWholeFileMaySayThatItIsOnePart() throws {
        let directory = try TemporaryDirectory()
        var model = GGUFModel.small()
        model.metadata["split.no"] = .size(0)
        model.metadata["split.count"] = .size(1)
        model.metadata["split.tensors.count"] = .size(model.tensors.count)
        #expect(try model.open(in: directory).configuration.tiedEmbeddings)
        model.metadata["split.tensors.count"] = .size(model.tensors.count + 1)
        let error = #expect(throws: CheckpointError.self) { try model.open(in: directory) }
        #expect(error?.place == "split.tensors.count")
    }
}
