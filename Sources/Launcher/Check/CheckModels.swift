// What is wrong with the models of a topology's hosts, and with how their layers are shared out.

internal import Layers
internal import Settings

extension Check {
    /// Missing models, other weights, another tokenizer, layers that nobody holds.
    func modelFindings(_ facts: [String: HostFacts]) -> [CheckFinding] {
        var findings: [CheckFinding] = []
        var first: [Bool: (host: String, model: HostFacts.Model)] = [:]
        var tokenizers: [Bool: String] = [:]
        var told: Set<[String]> = []
        for process in processes {
            let isMain = process.plan.part != .speculator
            var paths = [(process.model, isMain)]
            if process.settings.process == .coordinator { paths.append((speculator(process), false)) }
            for case (let path?, let isMain) in paths {
                guard let model = facts[process.host]?.models[path], told.insert([process.host, path]).inserted else {
                    continue
                }
                let key = !isMain ? "speculator" : process.hasOwnModel ? "\(process.key).model" : "model"
                if let problem = model.problem {
                    findings.append(
                        CheckFinding(
                            .host, key, host: process.host, problem,
                            fix: "Put the model there, or say with `folder` where that host has it."))
                    continue
                }
                if let tokenizer = model.tokenizer, tokenizers[isMain] == nil { tokenizers[isMain] = tokenizer }
                if let (host, same) = first[isMain], same.fingerprint != model.fingerprint {
                    findings.append(
                        CheckFinding(
                            .host, key, host: process.host, "\(path) has other weights than on \(host)",
                            fix: "Copy the same files to both; parts must be of one model."))
                } else if first[isMain] == nil {
                    first[isMain] = (process.host, model)
                }
            }
        }
        if let main = tokenizers[true], let small = tokenizers[false], main != small {
            findings.append(
                CheckFinding(
                    .file, "speculator", "has another tokenizer than the main model",
                    fix: "Name a speculator of the same family of models; a pair must share one."))
        }
        findings += processes.compactMap { partFinding($0, facts) }
        if let main = first[true]?.model, main.layerCount > 0 { findings += layerFindings(main.layerCount, facts) }
        return findings
    }

    /// A stage whose part of the model lacks its layers.
    private func partFinding(_ process: Placed, _ facts: [String: HostFacts]) -> CheckFinding? {
        guard let path = process.model, let model = facts[process.host]?.models[path], model.problem == nil,
            let held = model.heldLayers, process.settings.process == .worker
        else { return nil }
        let there = held.isEmpty ? "no weights" : "layers \(held) alone"
        let wanted: String
        if process.plan.part == .speculator {
            wanted = "a speculator needs all of them"
        } else if let layers = process.settings.layers {
            guard !held.contains(layers) else { return nil }
            wanted = "the stage is to hold \(layers)"
        } else {
            guard held.isEmpty else { return nil }
            wanted = "a stage needs its layers"
        }
        return CheckFinding(
            .host, "\(process.key).model", host: process.host, "\(path) is a part with \(there), and \(wanted)",
            fix: "Name the part that holds them (`winnow model split` writes one for each stage), or the whole model.")
    }

    /// Pipelines that are deeper than the model, or do not hold all of it.
    private func layerFindings(_ count: Int, _ facts: [String: HostFacts]) -> [CheckFinding] {
        topology.pipelines.enumerated().flatMap { index, pipeline -> [CheckFinding] in
            let key = "pipelines[\(index)].stages"
            guard pipeline.stages.count <= count else {
                return [
                    CheckFinding(
                        .file, key, "there are \(pipeline.stages.count) stages for \(count) layers",
                        fix: "Write at most \(count).")
                ]
            }
            let stages = processes.filter { $0.plan.part == .stage(pipeline: pipeline.name) }
            let layers = stages.map { stage in
                stage.settings.layers
                    ?? stage.model.flatMap { facts[stage.host]?.models[$0]?.heldLayers }
            }
            // Where all are known: by the file, or by the parts that the stages have.
            let known = layers.compactMap(\.self)
            guard known.count == layers.count, let last = known.last else { return [] }
            // Layers that the file itself says have been held against one another with their lines.
            let areSaid = stages.allSatisfy { $0.settings.layers != nil }
            for (stage, (before, after)) in zip(known, known.dropFirst()).enumerated()
            where !areSaid && after.bounds.lowerBound != before.bounds.upperBound {
                return [
                    CheckFinding(
                        .file, "\(key)[\(stage + 1)]",
                        "it holds layers \(after), the stage before \(before)",
                        fix: "Give each stage the part, or the `layers`, that follow those of the one before.")
                ]
            }
            let all = LayerSpan(bounds: known[0].bounds.lowerBound..<last.bounds.upperBound)
            guard all == LayerSpan(0..<count) else {
                return [
                    CheckFinding(
                        .file, "\(key)[\(pipeline.stages.count - 1)].layers",
                        "the stages hold layers \(all), the model has \(LayerSpan(0..<count))",
                        fix: "Let the last stage end with \(count - 1).")
                ]
            }
            return []
        }
    }
}
