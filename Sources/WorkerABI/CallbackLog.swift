// The host's log.

import CWinnowWorker
import Logging
import OutsideText

/// Gives every line to a callback of the host.
struct CallbackLog: LogHandler, @unchecked Sendable {  // the host sees to its user data, as the header says
    let callback: winnow_log_callback
    let userData: UnsafeMutableRawPointer?
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var line = "\(event.message)"
        for (key, value) in metadata.merging(event.metadata ?? [:], uniquingKeysWith: { $1 }).sorted(by: {
            $0.key < $1.key
        }) {
            line += " \(key)=\(value)"
        }
        let level = Logger.Level.allCases.firstIndex(of: event.level) ?? 2
        callingHost { line.withCString { callback(winnow_log_level(level), $0, userData) } }
    }

    /// The logger that a configuration asks for.
    static func logger(_ config: winnow_worker_config, name: String) throws(CallError) -> Logger {
        let levels = Logger.Level.allCases
        guard levels.indices.contains(Int(config.log_level)) else {
            throw .argument("log_level", "is \(config.log_level), must be 0 to \(levels.count - 1)")
        }
        let level = levels[Int(config.log_level)]
        guard let callback = config.on_log else { return Logger(label: name) { _ in SwiftLogNoOpLogHandler() } }
        let userData = SendableAddress(config.log_user_data)
        var logger = Logger(label: name) { _ in
            OneLineLogHandler(CallbackLog(callback: callback, userData: userData.pointer, logLevel: level))
        }
        logger.logLevel = level
        return logger
    }
}

/// An address of the host's, which sees to whatever lies there.
struct SendableAddress: @unchecked Sendable {  // never followed here
    let pointer: UnsafeMutableRawPointer?

    init(_ pointer: UnsafeMutableRawPointer?) { self.pointer = pointer }
}
