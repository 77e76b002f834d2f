// The report files of `winnow loadgen`.

import ArgumentParser
import Foundation
import LoadGenerator
import Synchronization

/// Writes the report files; what goes wrong is said once, and loses nothing else.
final class ReportWriter: Sendable {
    private let output: LoadgenOutputOptions
    private let settings: LoadSettings
    private let failures = Mutex<Set<String>>([])

    init(output: LoadgenOutputOptions, settings: LoadSettings) {
        self.output = output
        self.settings = settings
    }

    /// Whether a file could not be written.
    var hasFailed: Bool { failures.withLock { !$0.isEmpty } }

    /// Rows and histograms are written at the end alone: they grow with the search.
    func write(_ results: [CampaignModeResult], _ objectives: [Objective], isFinal: Bool) {
        guard isFinal || output.json != nil || output.html != nil else { return }
        let measurement = Measurement(settings: settings, results: results)
        put(output.json) { try ReportFile.json(measurement) }
        put(output.html) { Data(ReportPage(PageContent(measurement, objectives: objectives)).html().utf8) }
        guard isFinal else { return }
        put(output.rows) { try RequestRows.text(results) }
        put(output.hdr) { Data(RequestRows.histogramLog(results, startedAt: self.settings.startedAt).utf8) }
    }

    private func put(_ path: String?, _ contents: () throws -> Data) {
        guard let path else { return }
        do {
            try contents().write(to: URL(fileURLWithPath: path), options: .atomic)
        } catch {
            guard failures.withLock({ $0.insert(path).inserted }) else { return }
            Console.note("winnow loadgen: cannot write \(path): \(error)")
        }
    }
}

extension LoadgenOutputOptions {
    /// Finds out before the measurement whether there is a place for its report.
    func check() throws {
        for (option, path) in [("--json", json), ("--html", html), ("--rows", rows), ("--hdr", hdr)] {
            guard let path else { continue }
            let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
            guard FileManager.default.isWritableFile(atPath: folder) else {
                throw ValidationError("\(option): no folder '\(folder)' that can be written to.")
            }
        }
    }
}
