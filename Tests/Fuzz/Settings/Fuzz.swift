// Any text as what an operator writes: a topology file, or a process's configuration document.
//
// The first byte says which: "t" a topology, "c" a coordinator's document, "w" a worker's.

import Glibc
import Launcher
import Settings

/// The only kind that is fed; nil: all.
private let only = getenv("WINNOW_FUZZ_ONLY").map { String(cString: $0) }

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzSettings(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let start, count > 0 else { return 0 }
    if let only, only != (start.pointee == UInt8(ascii: "t") ? "topology" : "document") { return -1 }
    let yaml = String(decoding: UnsafeBufferPointer(start: start + 1, count: count - 1), as: UTF8.self)
    switch start.pointee {
    case UInt8(ascii: "t"):
        let (topology, faults) = Topology.read(yaml: yaml, path: "/d/t.yaml") { _ in true }
        precondition(topology != nil || !faults.isEmpty, "nothing read, and nothing wrong")
        for fault in faults { precondition(!"\(fault)".isEmpty && "\(fault)".utf8.count < 10_000, "too many words") }
        precondition(faults.count < 20_000, "too many faults")
        if faults.isEmpty, let topology {
            let again = try? Topology(yaml: yaml, path: "/d/t.yaml") { _ in true }
            precondition(again == topology, "read twice, and not the same")
        }
    case let kind:
        do {
            _ = try ConfigurationDocument(
                yaml: yaml, path: "/d/c.yaml", of: kind == UInt8(ascii: "w") ? .worker : .coordinator)
        } catch {
            precondition(!error.errors.isEmpty, "an error without words")
        }
    }
    return 0
}
