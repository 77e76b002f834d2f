import DequeModule
import Dispatch
import Foundation
package import Logging

/// Something that took time, for a trace.
package struct TraceEvent: Equatable, Sendable {
    /// A process of the cluster: the coordinator, or a worker by its name.
    package var process: String
    /// A row of the process: what can't overlap.
    package var row: String
    package var name: String
    package var start: ContinuousClock.Instant
    package var duration: Duration
    /// The coordinator's numbers of the requests it was for.
    package var requests: [UInt64]
    /// Part of a request's own life, which overlaps that of others.
    package var isPhase = false

    package init(
        process: String, row: String, name: String, start: ContinuousClock.Instant, duration: Duration,
        requests: [UInt64], isPhase: Bool = false
    ) {
        self.process = process
        self.row = row
        self.name = name
        self.start = start
        self.duration = duration
        self.requests = requests
        self.isPhase = isPhase
    }
}

/// Writes a trace as Chrome's JSON, which Perfetto and chrome://tracing open ("Trace Event Format"): an array of events
/// whose end may be missing, so that a trace is whole at every moment.
///
/// `@unchecked Sendable`: all state is touched on `queue` alone.
package final class TraceWriter: @unchecked Sendable {
    private let queue = DispatchQueue(label: "trace", qos: .utility)
    private let file: FileHandle
    private let logger: Logger
    private let origin = ContinuousClock.now
    private var processes: [String: Int] = [:]
    private var rows: [String: Int] = [:]
    private var buffer = Data("[\n".utf8)
    private var isBroken = false
    /// What the last so many requests are called, as JSON.
    private var names: [UInt64: String] = [:]
    private var named: Deque<UInt64> = []
    private static let mostNames = 4096
    /// Bytes gathered before they are written.
    private static let block = 1 << 16

    /// - Throws: where the file can't be written.
    package init(path: String, logger: Logger) throws {
        guard FileManager.default.createFile(atPath: path, contents: nil) else {
            throw CocoaError(.fileWriteUnknown)
        }
        file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        self.logger = logger
    }

    /// From now on events of a request tell its name beside its number.
    package func know(_ request: UInt64, as name: String) {
        queue.async { [self] in
            names[request] = Self.quoted(name)
            named.append(request)
            if named.count > Self.mostNames, let oldest = named.popFirst() { names[oldest] = nil }
        }
    }

    package func write(_ events: [TraceEvent]) { queue.async { [self] in for event in events { append(event) } } }

    /// Writes what is left. Not from its own queue.
    package func close() {
        queue.sync {
            flush()
            try? file.close()
        }
    }

    private func append(_ event: TraceEvent) {
        let process = number(of: event.process)
        let row = number(of: event.row, in: process)
        let start = origin.duration(to: event.start) / .microseconds(1)
        let length = max(0, event.duration / .microseconds(1))
        let requests = event.requests.map(called)
        if event.isPhase {
            let id = event.requests.first ?? 0
            for (phase, time) in [("b", start), ("e", start + length)] {
                line(
                    #"{"name":"\#(event.name)","cat":"request","ph":"\#(phase)","id":\#(id),"ts":\#(time),"#
                        + #""pid":\#(process),"tid":\#(row),"args":{"request":\#(called(id)),"number":\#(id)}}"#)
            }
        } else {
            line(
                #"{"name":"\#(event.name)","ph":"X","ts":\#(start),"dur":\#(length),"pid":\#(process),"tid":\#(row),"#
                    + #""args":{"requests":[\#(requests.joined(separator: ","))]}}"#)
        }
        if buffer.count >= Self.block { flush() }
    }

    /// A request's name as JSON.
    private func called(_ request: UInt64) -> String { names[request] ?? "\"\(request)\"" }

    private func number(of process: String) -> Int {
        if let known = processes[process] { return known }
        processes[process] = processes.count
        let id = processes.count - 1
        line(#"{"name":"process_name","ph":"M","pid":\#(id),"args":{"name":\#(Self.quoted(process))}}"#)
        return id
    }

    private func number(of row: String, in process: Int) -> Int {
        let key = "\(process) \(row)"
        if let known = rows[key] { return known }
        rows[key] = rows.count
        let id = rows.count - 1
        line(#"{"name":"thread_name","ph":"M","pid":\#(process),"tid":\#(id),"args":{"name":\#(Self.quoted(row))}}"#)
        return id
    }

    /// Workers choose their names.
    private static func quoted(_ text: String) -> String {
        (try? JSONEncoder().encode(text)).map { String(decoding: $0, as: UTF8.self) } ?? "\"?\""
    }

    private func line(_ text: String) { buffer.append(contentsOf: Data((text + ",\n").utf8)) }

    private func flush() {
        guard !isBroken else {
            buffer.removeAll()
            return
        }
        do {
            try file.write(contentsOf: buffer)
        } catch {
            isBroken = true
            logger.error("the trace ends here", metadata: ["error": "\(error)"])
        }
        buffer.removeAll(keepingCapacity: true)
    }
}
