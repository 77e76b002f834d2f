// How much happens in a simulated cluster, and of what.

import Coordinator

/// What may happen in a run.
struct SimulationPlan {
    var pipelines = [PipelineShape(name: "main", stageCount: 2)]
    var spares = 1
    var speculators = 1
    var requests = 8
    /// Faults between the first and the last request.
    var faults = 4
    /// The longest a packet takes.
    var delay = Duration.milliseconds(20)
    var maxReplays = 1000
    /// Guesses of one token.
    var drafts = 0
    /// Workers are killed, stopped and cut off; otherwise time alone is against them.
    var kills = true
}
