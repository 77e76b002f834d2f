// What the coordinator is told about its fleet: pipelines, speculators, and what happens when some of it is lost.

public import ArgumentParser
import Coordinator
import Launcher
public import Wire

/// The coordinator's pipelines and how it deals with losses.
struct FleetOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Stages of the only pipeline, which is called main; one worker each. Default: 1.", valueName: "n"))
    var stages: Int?

    @Option(
        help: ArgumentHelp(
            "A pipeline and its stages, instead of --stages; repeat it for each. Workers say --pipeline NAME to belong to "
                + "it; others serve any.", valueName: "name=stages"))
    var pipeline: [PipelineArgument] = []

    @Flag(help: "Let workers of --role speculator score the prompts; --speculator names the model they must have.")
    var speculatorWorkers = false

    @Option(
        help: ArgumentHelp(
            "How long a request whose pipeline is lost, or that finds none, waits for one.", valueName: "seconds"))
    var replayWait = 30

    @Option(
        help: ArgumentHelp(
            "Pipelines a request may lose before it ends with worker_lost, suspected of taking them down.",
            valueName: "n"))
    var maxReplays = 5

    @Option(
        help: ArgumentHelp("How long a busy worker may stand still before it counts as lost.", valueName: "seconds"))
    var stall = 60

    @Option(
        help: ArgumentHelp(
            "How hidden rows travel between stages: f32, or bf16 (half the bytes, rounded).", valueName: "type"))
    var wireDtype = WireType.f32

    @Option(
        help: ArgumentHelp(
            "Write a trace of all requests over all processes, in Chrome's format (Perfetto opens it).",
            valueName: "file"))
    var trace: String?

    /// The pipelines asked for, at least one.
    var pipelines: [PipelineArgument] {
        pipeline.isEmpty ? [PipelineArgument(name: Topology.Pipeline.defaultName, stages: stages ?? 1)] : pipeline
    }

    func validate() throws {
        guard pipeline.isEmpty || stages == nil else {
            throw ValidationError(
                "--stages is one pipeline's; give each its own: --pipeline NAME=STAGES, and leave --stages out")
        }
        guard pipelines.count <= Topology.pipelineLimit else {
            throw ValidationError("there may be \(Topology.pipelineLimit) --pipeline, found \(pipelines.count)")
        }
        for (index, shape) in pipelines.enumerated() {
            if pipelines[..<index].contains(where: { $0.name == shape.name }) {
                throw ValidationError("two --pipeline are called '\(shape.name)'; give each a name of its own")
            }
        }
        // What the layers allow is known once the model is read.
        for shape in pipelines where !(1...Topology.stageLimit).contains(shape.stages) {
            throw ValidationError("the stages of a pipeline must be 1 to \(Topology.stageLimit), found \(shape.stages)")
        }
        for (name, value, range) in [
            ("--replay-wait", replayWait, Topology.replayWaits), ("--max-replays", maxReplays, Topology.replayCounts),
            ("--stall", stall, Topology.stallLimits),
        ] where !range.contains(value) {
            let unit = name == "--max-replays" ? "" : " seconds"
            throw ValidationError("\(name) must be \(range.lowerBound) to \(range.upperBound)\(unit), found \(value)")
        }
        if let trace, trace.isEmpty { throw ValidationError("--trace must be the path of a file, found nothing") }
    }
}

/// What `--pipeline` of the coordinator takes: `fast=2`.
struct PipelineArgument: ExpressibleByArgument {
    var name: String
    var stages: Int

    init(name: String, stages: Int) {
        self.name = name
        self.stages = stages
    }

    init?(argument: String) {
        guard let mark = argument.lastIndex(of: "="), let stages = Int(argument[argument.index(after: mark)...]),
            Topology.isPipelineName(argument[..<mark])
        else { return nil }
        self.init(name: String(argument[..<mark]), stages: stages)
    }

    var defaultValueDescription: String { "\(name)=\(stages)" }
}

extension PipelineShape {
    /// The pipeline that was asked for.
    init(_ argument: PipelineArgument) { self.init(name: argument.name, stageCount: argument.stages) }
}

extension WireType: ExpressibleByArgument {}
extension WorkerRole: ExpressibleByArgument {}
