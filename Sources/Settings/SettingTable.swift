// The table of settings. A new setting is one entry here.

extension Setting {
    /// The stages a pipeline may have, more than any model has layers to give away; likewise spares and speculators.
    public static let stageRange = 1...256
    /// The most pipelines.
    public static let pipelineLimit = 64

    /// Every setting of every process. Within a process no name appears twice.
    public static let table: [Setting] =
        link + [
            Setting(
                "model", .model, of: [.coordinator, .generate], in: [.top], isRequired: true,
                "The main model: a Hugging Face directory or a GGUF file."),
            Setting(
                "model", .model, of: [.worker], in: [.mainWorker, .pipeline], isRequired: true,
                "The main model, or the part of it that winnow model split wrote; with role speculator the speculator: "
                    + "directory or GGUF file, the coordinator's weights. Default in a topology: the model at its top."
            ),
            Setting(
                "role", .choice(what: "role", ["stage", "speculator"]), default: "stage", of: [.worker], in: [],
                "What to do: stage or speculator."),
            Setting(
                "speculator", .model, of: [.coordinator, .generate], in: [.top],
                "The speculator, likewise, same tokenizer. Without it all is dense."),
            Setting(
                "name", .text, of: [.coordinator], in: [.top], value: "id",
                "The id the model is served under. Default: its file's name."),
            Setting(
                "pipeline", .pipelineName, of: [.worker], in: [],
                "The pipeline to be a stage of. Default: any that needs one."),
            Setting(
                "http", .address, default: "127.0.0.1:8080", of: [.coordinator], in: [.coordinator],
                "Where clients connect; port 0 takes any."),
            Setting(
                "listen", .endpoint, default: "tcp://127.0.0.1:5700", of: [.coordinator], in: [.coordinator],
                "Where workers say hello; port * takes any."),
            Setting(
                "results", .endpoint, of: [.coordinator], in: [.coordinator],
                "Where last stages and speculator workers answer. Default: the port after that of listen."),
            Setting(
                "listen", .endpoint, of: [.worker], in: [.worker],
                "Where the stage before this one connects; port * takes any. Default: any port of 127.0.0.1; with a "
                    + "coordinator on another host port 5710 of the address that the route to it begins at."),
            Setting(
                "name", .text, default: "worker", of: [.worker], in: [], value: "name",
                "This worker's name in logs. Workers without layers hold the stages in the order of their names."),
            Setting(
                "layers", .layers, of: [.worker], in: [.mainWorker, .pipeline],
                "Layers to hold, first-last, e.g. 0-4; a pipeline may be cut within a layer, between its attention (7a) and its "
                    + "feed-forward (7f), or in the rows of that: 0-7f34, which does 34 %, then 7f34-15. Or auto: measure how fast this host multiplies, and hold a part "
                    + "accordingly. Default: a part with as much work as the others'."),
            Setting(
                "speculator_workers", .boolean, default: "false", of: [.coordinator], in: [],
                "Let workers of role speculator score the prompts; speculator names the model they must have."),
            Setting(
                "stages", .integer(stageRange), of: [.coordinator], in: [],
                "Stages of the only pipeline, which is called main; one worker each. Default: 1."),
            Setting(
                "pipeline", .list(.pipelineShape, most: pipelineLimit), of: [.coordinator], in: [],
                "A pipeline and its stages, instead of stages; one for each. Workers say pipeline NAME to belong to it; others "
                    + "serve any."),
        ] + compute + service + speculation + [
            Setting(
                "advertise", .host, of: [.coordinator, .worker], in: [.coordinator, .worker, .pipeline],
                "The name other hosts know this one by. Default: as bound; for every interface the address of the route to "
                    + "the others."),
            Setting(
                "keys", .file, of: [.coordinator], in: [], value: "dir",
                "The folder with its key and the list of workers' keys (winnow keys): links are encrypted, and nobody else "
                    + "may join. Changes of the list take effect at once."),
            Setting(
                "allow_list", .file, of: [.coordinator], in: [],
                "The list of workers' keys, where it does not lie in that folder. Default: allowed in keys."),
            Setting(
                "key", .file, of: [.worker], in: [],
                "Its key file (winnow keys new): links are encrypted, and only its coordinator and neighbours may speak."
            ),
            Setting(
                "insecure", .boolean, default: "false", of: [.coordinator, .worker],
                in: [.coordinator, .worker, .pipeline],
                "Allow links without keys that other machines could join, read and change; the log says so each minute."
            ),
            Setting(
                "log_level",
                .choice(what: "log level", ["trace", "debug", "info", "notice", "warning", "error", "critical"]),
                default: "info", of: [.coordinator, .worker], in: [.coordinator, .worker, .pipeline],
                "The least that is logged."),
            Setting(
                "exit_with_stdin", .boolean, default: "false", of: [.coordinator, .worker], in: [],
                "End when standard input ends."),
        ]

    private static let link = [
        Setting(
            "coordinator", .endpoint, of: [.worker], in: [], isRequired: true,
            "The coordinator's endpoint: tcp://HOST:PORT or ipc://PATH.")
    ]

    /// Threads, CPUs and memory.
    private static let compute = [
        Setting(
            "threads", .integer(1...1024), .threads, of: [.coordinator], in: [.coordinator],
            "The speculator's compute threads. Default: one for each CPU while no stage computes, and one meanwhile."),
        Setting(
            "threads", .integer(1...1024), .threads, default: "1", of: [.worker, .generate, .bench],
            in: [.worker, .pipeline], "Compute threads."),
        Setting(
            "cpus", .cpus, of: Set(Process.allCases), in: [.coordinator, .worker],
            "CPUs to stay on, e.g. 0,2-3. Default: any."),
        Setting(
            "dtype", .choice(what: "number format", ["auto", "f32", "bf16", "int8"]), default: "auto",
            of: Set(Process.allCases), in: [.top], value: "type",
            "Number formats: f32, bf16 or int8 weights; auto: bf16 where the CPU has vector kernels for it."),
        Setting(
            "cpu_level",
            .choice(what: "CPU level", ["portable", "avx2", "avx512", "avx512vnni", "avx512bf16"]),
            of: Set(Process.allCases), in: [.top],
            "Compute as a lesser CPU would: the most instructions to use. Default: $WINNOW_CPU_LEVEL, or all there are."
        ),
        Setting(
            "weights_cache", .folder, of: [.coordinator, .worker, .generate], in: [.coordinator, .worker, .pipeline],
            "Where weights that were quantised to int8 are kept for the next start; none: nowhere. Default: "
                + "winnow/weights in $XDG_CACHE_HOME or ~/.cache."),
        Setting(
            "kv_tokens", .integer(1...1 << 30), .tokens, default: "131072", of: [.coordinator], in: [.coordinator],
            "KV cache rows (kept and new tokens) over all requests."),
        Setting(
            "kv_tokens", .integer(1...1 << 30), .tokens, of: [.worker], in: [.mainWorker, .pipeline],
            "KV cache rows (tokens) to hold at most. Default: what half the free memory holds."),
    ]

    /// What the coordinator promises its clients and its fleet.
    private static let service = [
        Setting(
            "micro_batch_tokens", .integer(1...1 << 16), .tokens, default: "512", of: [.coordinator],
            in: [.coordinator], "Most token rows that travel together."),
        Setting(
            "max_requests", .integer(1...1_000_000), .requests, default: "256", of: [.coordinator],
            in: [.coordinator], "Requests served at a time; more get 429."),
        Setting(
            "max_queued_tokens", .integer(1...Int(Int32.max)), .tokens, default: "1048576", of: [.coordinator],
            in: [.coordinator], "Prompt tokens waiting for their first token; more get 429."),
        Setting(
            "request_timeout", .integer(1...86_400), .seconds, default: "600", of: [.coordinator],
            in: [.coordinator], "The longest a request may take."),
        Setting(
            "api_keys", .folder, of: [.coordinator], in: [.coordinator], value: "file|none",
            "The keys clients must show (winnow keys api). Changes take effect at once. none: a proxy in front asks for them."
        ),
        Setting(
            "tls_certificate", .file, of: [.coordinator], in: [.coordinator],
            "Serve HTTPS, TLS 1.2 or newer, with this certificate and its chain (PEM), read again when it changes."),
        Setting(
            "tls_key", .file, of: [.coordinator], in: [.coordinator],
            "Its private key (PEM), which others may not read."),
        Setting(
            "tls_client_ca", .file, of: [.coordinator], in: [.coordinator],
            "Serve only clients with a certificate of these authorities (PEM)."),
        Setting(
            "admin", .address, of: [.coordinator], in: [.coordinator],
            "Serve metrics, status, page and health here, in plain text and without keys, and of these only health at http."
        ),
        Setting(
            "cors_origin", .list(.origin, most: 256), of: [.coordinator], in: [.coordinator],
            "Web pages that may use the API from a browser; * allows every page."),
        Setting(
            "max_body_bytes", .integer(1024...1 << 30), .bytes, default: "16777216", of: [.coordinator],
            in: [.coordinator], "The largest request body; a larger one gets 413."),
        Setting(
            "max_connections", .integer(1...1_000_000), .requests, default: "1024", of: [.coordinator],
            in: [.coordinator], "Requests answered at a time, health apart; more get 503."),
        Setting(
            "max_connections_per_address", .integer(1...1_000_000), .requests, default: "768", of: [.coordinator],
            in: [.coordinator], "The most of them from one address."),
        Setting(
            "drain_time", .integer(0...3600), .seconds, default: "10", of: [.coordinator], in: [.coordinator],
            "How long running requests may go on after SIGTERM or Ctrl-C."),
        Setting(
            "replay_wait", .integer(0...3600), .seconds, default: "30", of: [.coordinator], in: [.coordinator],
            "How long a request whose pipeline is lost, or that finds none, waits for one."),
        Setting(
            "max_replays", .integer(0...100), default: "5", of: [.coordinator], in: [.coordinator],
            "Pipelines a request may lose before it ends with worker_lost, suspected of taking them down."),
        Setting(
            "stall", .integer(1...86_400), .seconds, default: "60", of: [.coordinator], in: [.coordinator],
            "How long a busy worker may stand still before it counts as lost; time without a CPU apart."),
        Setting(
            "wire_dtype", .choice(what: "number format between stages", ["f32", "bf16"]), default: "f32",
            of: [.coordinator], in: [.coordinator], value: "type",
            "How hidden rows travel between stages: f32, or bf16 (half the bytes, rounded)."),
        Setting(
            "speculative_decoding", .integer(0...16), .tokens, default: "0", of: [.coordinator], in: [.coordinator],
            "Tokens of an answer that the coordinator's own speculator guesses ahead at most, where that is faster; 0: none."
        ),
        Setting(
            "trace", .file, of: [.coordinator], in: [.coordinator],
            "Write a trace of all requests over all processes, in Chrome's format (Perfetto opens it)."),
    ]

    /// How prompts are pruned, unless a request says otherwise.
    private static let speculation = [
        Setting(
            "keep_rate", .share, default: "0.2", of: [.coordinator, .generate, .bench], in: [.speculation],
            "Share of the prompt to keep, over 0, at most 1."),
        Setting(
            "selection", .choice(what: "selection", ["windows", "grid", "reference"]), default: "windows",
            of: [.coordinator, .generate, .bench], in: [.speculation], value: "mode",
            "windows: sliding windows, BOS and tail kept. grid: the paper's chunks, BOS and tail kept. "
                + "reference: exactly the paper, nothing kept by force."),
        Setting(
            "look_ahead", .integer(1...128), default: "8", of: [.coordinator, .generate, .bench], in: [.speculation],
            "Steps whose queries score the prompt, 1 to 128."),
        Setting(
            "chunk", .integer(1...65_536), .tokens, default: "32", of: [.coordinator, .generate, .bench],
            in: [.speculation], "Tokens of a chunk or window."),
        Setting(
            "stride", .integer(1...65_536), .tokens, default: "8", of: [.coordinator, .generate, .bench],
            in: [.speculation], "Tokens from one window to the next, at most a chunk."),
        Setting(
            "pool", .odd(1...65_535), .tokens, default: "13", of: [.coordinator, .generate, .bench],
            in: [.speculation], "Width of the pooling along the prompt, odd."),
        Setting(
            "tail", .integer(0...1_048_576), .tokens, default: "64", of: [.coordinator, .generate, .bench],
            in: [.speculation], "Tokens at the prompt's end that are always kept."),
        Setting(
            "threshold", .integer(0...1_048_576), .tokens, default: "512", of: [.coordinator, .generate, .bench],
            in: [.speculation], "Prompts with fewer tokens go dense."),
        Setting(
            "speculator_attention", .choice(what: "attention", ["exact", "sparse"]), default: "exact",
            of: [.coordinator, .generate, .bench], in: [.speculation], value: "mode",
            "exact: the speculator's tokens look at all before them. sparse: in long prompts at the blocks that hold most "
                + "of their attention; faster, and nearly the same tokens are kept."),
        Setting(
            "speculator_most_keys", .share, default: "0.3", of: [.coordinator, .generate, .bench],
            in: [.speculation], value: "share",
            "sparse: the most tokens that one of a long prompt looks at, as a share of those before it, but no fewer than "
                + "1024. More keeps more of what exact keeps, for more time."),
    ]
}
