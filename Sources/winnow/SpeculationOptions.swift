public import ArgumentParser
public import Speculation

/// How prompts are pruned, unless a request says otherwise.
struct SpeculationOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Share of the prompt to keep, over 0, at most 1.", valueName: "rate"))
    var keepRate = SpeculationParameters().keepRate

    @Option(
        help: ArgumentHelp(
            "windows: sliding windows, BOS and tail kept. grid: the paper's chunks, BOS and tail kept. "
                + "reference: exactly the paper, nothing kept by force.", valueName: "mode"))
    var selection = SpeculationParameters().selection

    @Option(help: ArgumentHelp("Steps whose queries score the prompt, 1 to 128.", valueName: "n"))
    var lookAhead = SpeculationParameters().lookAhead

    @Option(help: ArgumentHelp("Tokens of a chunk or window.", valueName: "n"))
    var chunk = SpeculationParameters().chunk

    @Option(help: ArgumentHelp("Tokens from one window to the next.", valueName: "n"))
    var stride = SpeculationParameters().stride

    @Option(help: ArgumentHelp("Width of the pooling along the prompt, odd.", valueName: "n"))
    var pool = SpeculationParameters().pool

    @Option(help: ArgumentHelp("Tokens at the prompt's end that are always kept.", valueName: "n"))
    var tail = SpeculationParameters().tail

    @Option(help: ArgumentHelp("Prompts with fewer tokens go dense.", valueName: "n"))
    var threshold = SpeculationParameters().threshold

    var parameters: SpeculationParameters {
        SpeculationParameters(
            keepRate: keepRate, lookAhead: lookAhead, chunk: chunk, stride: stride, pool: pool, selection: selection,
            tail: tail, threshold: threshold)
    }

    func validate() throws {
        do {
            try parameters.validate()
        } catch {
            throw ValidationError("\(error)")
        }
    }
}

extension SelectionMode: ExpressibleByArgument {}
