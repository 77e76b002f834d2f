import Coordinator
import Foundation
import Logging
import Testing

@Suite struct TraceTests {
    /// A request is found in the trace under the id that its client, the gateway and the log know it by.
    @Test func requestsAreCalledByTheirNames() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "winnow-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "trace.json").path
        let writer = try TraceWriter(path: path, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        writer.know(1, as: "cmpl-1")
        writer.know(2, as: #"a "quoted" one"#)
        let now = ContinuousClock.now
        writer.write([
            TraceEvent(
                process: "coordinator", row: "requests", name: "request", start: now, duration: .seconds(1),
                requests: [1], isPhase: true),
            TraceEvent(
                process: "main stage 0: w0", row: "compute", name: "micro-batch 1", start: now, duration: .seconds(1),
                requests: [1, 2, 3]),
        ])
        writer.close()
        // The array's end is missing, and a comma stands there.
        let text = try String(contentsOfFile: path, encoding: .utf8) + "{}]"
        let events = try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]])
        let arguments = events.compactMap { $0["args"] as? [String: Any] }
        #expect(arguments.compactMap { $0["request"] as? String } == ["cmpl-1", "cmpl-1"])
        #expect(arguments.compactMap { $0["number"] as? Int } == [1, 1])
        #expect(arguments.compactMap { $0["requests"] as? [String] } == [["cmpl-1", #"a "quoted" one"#, "3"]])
    }
}
