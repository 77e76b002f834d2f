// `winnow launch FILE --render KIND --out DIR`: the files another engine runs the topology from.

public import ArgumentParser
import Foundation
public import Launcher
import SecretFiles
import Wire

/// How a topology is rendered, and where to.
struct LaunchRendering: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Start nothing, write what systemd, slurm or kubernetes runs the topology from.", valueName: "engine"))
    var render: RenderTarget?

    @Option(help: ArgumentHelp("Where --render writes; made where it is missing.", valueName: "folder"))
    var out: String?

    @Option(help: ArgumentHelp("Container image for --render kubernetes.", valueName: "name"))
    var image = "winnow:\(WinnowVersion.text)"

    @Option(help: ArgumentHelp("Memory of each pod for --render kubernetes.", valueName: "quantity"))
    var memory = "4Gi"

    func validate() throws {
        guard (render == nil) == (out == nil) else {
            throw ValidationError("--render ENGINE and --out FOLDER belong together: give both")
        }
        guard memory.wholeMatch(of: /[0-9]+(\.[0-9]+)?([KMGTPE]i?|k|m)?/) != nil else {
            throw ValidationError("--memory must be a quantity of Kubernetes, found '\(memory)'; write for example 8Gi")
        }
    }

    /// Writes the files of `file`; each is named on standard output.
    func write(_ file: String, executable: String?) throws {
        guard let render, let out else { return }
        // Paths of a unit or a job start nowhere; a pod's start from the file's folder.
        let path = render == .kubernetes ? file : URL(fileURLWithPath: file).path
        let files: [RenderedFile]
        let keys: RenderedKeys?
        let copies: [RenderedCopy]
        do {
            let topology = try Topology(contentsOf: path, areModelsHere: false)
            let options = RenderOptions(
                executable: executable ?? RenderOptions().executable, image: image, memory: memory)
            files = try Rendering.files(of: topology, for: render, options: options)
            keys = try Rendering.keys(of: topology, for: render, options: options)
            copies = try Rendering.copies(of: topology, for: render, options: options)
        } catch {
            Console.note("winnow launch: \(error)")
            throw ExitCode(65)
        }
        let folder = URL(fileURLWithPath: out)
        do {
            for file in files {
                let url = folder.appending(path: file.path)
                try FileManager.default.createDirectory(
                    at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Data(file.text.utf8).write(to: url)
                Console.say(url.path)
            }
            if let keys { try write(keys, to: folder) }
            for copy in copies {
                let url = folder.appending(path: copy.path)
                try FileManager.default.createDirectory(
                    at: url.deletingLastPathComponent(), withIntermediateDirectories: true,
                    attributes: [.posixPermissions: 0o700])
                let bytes = try SecretFile.read(copy.source, isSecret: copy.isSecret)
                try SecretFile.write(bytes, to: url.path, isReplacing: true)
                Console.say(url.path)
            }
        } catch let error as KeyError {
            throw Console.failure(.cannotWrite, "\(error)")
        } catch let error as SecretFileError {
            throw Console.failure(.cannotWrite, "\(error)")
        } catch {
            throw Console.failure(.cannotWrite, "cannot write to \(out): \(error.localizedDescription)")
        }
    }

    /// Makes what is missing of the keys, and copies each to where it belongs. No text of a secret is shown, and every file
    /// of one is its owner's alone.
    private func write(_ keys: RenderedKeys, to out: URL) throws {
        let path = keys.isRelative ? out.appending(path: keys.folder).path : keys.folder
        let folder = KeyFolder(path: path)
        try folder.prepare(for: keys.workers.map { ($0.name, $0.role) })
        Console.say("\(path) (secret keys)")
        for copy in keys.copies {
            let url = out.appending(path: copy.path)
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            let text = try SecretFile.read("\(path)/\(copy.name)", isSecret: copy.isSecret)
            try SecretFile.write(text, to: url.path, isReplacing: true)
            // Public keys: the coordinator's own user reads the list, whoever installed it.
            if !copy.isSecret {
                try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: url.path)
            }
            Console.say(url.path)
        }
    }
}

extension RenderTarget: ExpressibleByArgument {}
