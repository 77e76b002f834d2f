// The root of all suites here: one after the other, because each wants the machine's cores for its processes.

import Testing

@Suite("End to end", .serialized, .enabled(if: Program.isBuilt, "winnow is not built beside the tests"))
enum EndToEnd {}
