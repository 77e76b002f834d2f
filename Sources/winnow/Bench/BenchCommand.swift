import ArgumentParser

/// `winnow bench`: how fast this machine computes, and how close that is to what it can do.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure the engine on this machine, and hold it against the machine's own peak.",
        discussion: """
            Each bench warms up (a prompt: with its first 512 tokens) and then runs --repetitions times in this process; it \
            prints the median, and with \
            --json one object with the spread, the operations per second, the machine's measured peak (a product of 2048 \
            in every direction by the fastest back end of that precision) and the share of it that was reached.

            Synthetic models serve: winnow model synth --help. Pin the threads (--cpus) and compare within one run: other \
            work on the machine changes all figures.

              winnow bench prefill --model DIR --tokens 4096 --threads 2
              winnow bench decode --model DIR --context 512 --tokens 64 --dtype int8 --json
              winnow bench speculate --speculator DIR --tokens 16384
              winnow bench ttft --model DIR --speculator DIR --tokens 8192 --keep-rate 0.1
            """,
        subcommands: [
            BenchGemm.self, BenchAttention.self, BenchPrefill.self, BenchDecode.self, BenchSpeculate.self,
            BenchAgreement.self,
            BenchFirstToken.self, BenchLevels.self,
        ])
}
