// Which pipeline a request goes to.

/// Chooses the pipeline with the earliest predicted first token: a pure function of what each has before it.
package enum Router {
    /// A pipeline that stands, at this moment.
    package struct Candidate: Equatable, Sendable {
        package var id: Int
        package var stageCount: Int
        /// Rows of one micro-batch.
        package var maxRows: Int
        /// Prompt rows that wait there or have not been sent.
        package var promptRows: Int
        package var rowsInFlight: Int
        /// Requests in decode: each adds a row to every micro-batch.
        package var decoding: Int
        /// KV rows neither held nor waited for; may be below 0.
        package var kvRowsFree: Int
        package var kvRowsBudget: Int
        /// Measured there; `nil` until it is.
        package var cost: PipelineCost?
        /// On a replay: it computes as the pipeline on which the request began, bit for bit.
        package var isAlike: Bool

        package init(
            id: Int, stageCount: Int, maxRows: Int, promptRows: Int = 0, rowsInFlight: Int = 0, decoding: Int = 0,
            kvRowsFree: Int, kvRowsBudget: Int, cost: PipelineCost? = nil, isAlike: Bool = false
        ) {
            self.id = id
            self.stageCount = stageCount
            self.maxRows = maxRows
            self.promptRows = promptRows
            self.rowsInFlight = rowsInFlight
            self.decoding = decoding
            self.kvRowsFree = kvRowsFree
            self.kvRowsBudget = kvRowsBudget
            self.cost = cost
            self.isAlike = isAlike
        }

        /// What its scheduler has to do.
        package init(id: Int, scheduler: Scheduler, isAlike: Bool = false) {
            let queued = scheduler.queuedRows
            self.init(
                id: id, stageCount: scheduler.limits.stageCount, maxRows: scheduler.limits.maxRows,
                promptRows: queued.prompt, rowsInFlight: scheduler.rowsInFlight, decoding: queued.decoding,
                kvRowsFree: scheduler.kvRowsFree, kvRowsBudget: scheduler.limits.kvRows, cost: scheduler.cost,
                isAlike: isAlike)
        }

        /// Rows before a new request.
        fileprivate var load: Int { promptRows + rowsInFlight + decoding }

        /// Seconds to the first token of a prompt of `kept` rows, on an empty pipeline of this cost and behind what is there.
        fileprivate func seconds(kept: Int, _ cost: PipelineCost) -> Double {
            let ahead = promptRows + rowsInFlight
            // Prompts ahead are taken to be like this one; behind each other they take the slowest stage's time.
            let chunk = max(1, min(kept, maxRows))
            let rowSeconds = cost.slowestSeconds(cached: max(0, kept - chunk) / 2, rows: chunk) / Double(chunk)
            // The decode rows that ride along in every micro-batch from now to the prompt's last.
            let microBatches = (ahead + kept + maxRows - 1) / max(1, maxRows)
            let decodeRows = Double(microBatches) * Double(decoding)
            let decodeSeconds = cost.stages.reduce(0) { max($0, $1.perRow) } * decodeRows
            return Double(ahead) * rowSeconds + decodeSeconds + cost.promptSeconds(rows: kept, maxRows: maxRows)
        }
    }

    /// The pipeline for a request, or `nil`: none can ever hold it.
    ///
    /// One with room in its KV cache goes before one where the request would have to wait for others' ends. Predictions
    /// within a twentieth are equal; then the least load decides, and then the id. A pipeline alike is preferred as long as
    /// it takes at most twice the least time.
    ///
    /// - Parameters:
    ///   - kept: rows of the request's prompt, at least 1.
    ///   - kvRows: KV rows it reserves.
    package static func choose(kept: Int, kvRows: Int, among candidates: [Candidate]) -> Int? {
        let possible = candidates.filter { kvRows <= $0.kvRowsBudget }
        let withRoom = possible.filter { kvRows <= $0.kvRowsFree }
        let open = withRoom.isEmpty ? possible : withRoom
        let rowSeconds = leastRowSeconds(kept: kept, among: candidates)
        let predicted = open.map { candidate in
            let cost =
                candidate.cost
                // Not measured: all stages alike, and as quick as the quickest that was, so that it gets its turn.
                ?? PipelineCost(
                    stages: Array(
                        repeating: CostModel(perRow: rowSeconds / Double(max(1, candidate.stageCount))),
                        count: max(1, candidate.stageCount)))
            return (candidate: candidate, seconds: candidate.seconds(kept: kept, cost))
        }
        guard let least = predicted.map(\.seconds).min() else { return nil }
        let alike = predicted.filter(\.candidate.isAlike)
        var choice = predicted
        if let leastAlike = alike.map(\.seconds).min(), leastAlike <= 2 * least { choice = alike }
        let limit = (choice.map(\.seconds).min() ?? least) * 1.05
        return choice.filter { $0.seconds <= limit }.map(\.candidate)
            .min { ($0.load, $0.id) < ($1.load, $1.id) }?.id
    }

    /// Seconds of one prompt row in all stages together where that is least; 1 when nothing has been measured.
    private static func leastRowSeconds(kept: Int, among candidates: [Candidate]) -> Double {
        candidates.compactMap { candidate in
            candidate.cost.map { cost in
                let chunk = max(1, min(kept, candidate.maxRows))
                return cost.stages.reduce(0) { $0 + $1.seconds(cached: 0, rows: chunk) } / Double(chunk)
            }
        }.min() ?? 1
    }
}
