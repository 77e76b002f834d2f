// `winnow launch FILE --render KIND --out DIR`: the files another engine runs the topology from.

public import ArgumentParser
import Foundation
public import Launcher

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
        do {
            let topology = try Topology(contentsOf: path, areModelsHere: false)
            files = try Rendering.files(
                of: topology, for: render,
                options: RenderOptions(
                    executable: executable ?? RenderOptions().executable, image: image, memory: memory))
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
        } catch {
            throw Console.failure(.cannotWrite, "cannot write to \(out): \(error.localizedDescription)")
        }
    }
}

extension RenderTarget: ExpressibleByArgument {}
