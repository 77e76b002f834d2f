// Any bytes as a trace of a service: they are refused with their line, or arrivals in order within their bounds.
//
// The first byte says how it is written: "a" Azure's CSV, "m" Mooncake's lines, all else plain lines.

import Foundation
import LoadGenerator

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzTraces(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let start, count > 0 else { return 0 }
    let format: Trace.Format =
        switch start.pointee {
        case UInt8(ascii: "a"): .azure
        case UInt8(ascii: "m"): .mooncake
        default: .jsonl
        }
    do {
        let trace = try Trace(contents: Data(bytes: start + 1, count: count - 1), format: format, name: "t")
        precondition(trace.entries.first?.offset == .zero, "a first arrival that is not at 0")
        precondition(
            zip(trace.entries, trace.entries.dropFirst()).allSatisfy { $0.offset <= $1.offset }, "out of order")
        for entry in trace.entries {
            precondition((1...Trace.maximumTokens).contains(entry.promptTokens), "a prompt of no length")
            precondition((1...Trace.maximumTokens).contains(entry.outputTokens), "an answer of no length")
        }
        let fast = try trace.scaled(by: 1e-3)
        precondition(fast.entries.count == trace.entries.count && fast.span <= trace.span, "another trace")
        let half = try trace.prefix(within: max(trace.span / 2, .nanoseconds(1)))
        precondition(!half.entries.isEmpty && half.entries.allSatisfy { $0.offset <= trace.span }, "no beginning")
        for entry in trace.clipped(promptTokens: 700).entries {
            precondition((1...700).contains(entry.promptTokens) && entry.blocks.count <= 2, "too long a prompt")
        }
    } catch {
        precondition(!"\(error)".isEmpty && "\(error)".utf8.count < 10_000, "too many words, or none")
    }
    return 0
}
