// Log lines that no text from outside can forge.

public import Logging

/// Passes events on with their message and every metadata value on one line and of bounded length, whoever logs them.
public struct OneLineLogHandler: LogHandler {
    /// The longest text of one value, in Unicode scalars.
    private static let length = 1000

    private var inner: any LogHandler

    public init(_ inner: any LogHandler) { self.inner = inner }

    public var logLevel: Logger.Level {
        get { inner.logLevel }
        set { inner.logLevel = newValue }
    }

    public var metadata: Logger.Metadata {
        get { inner.metadata }
        set { inner.metadata = newValue.mapValues(Self.oneLine) }
    }

    public var metadataProvider: Logger.MetadataProvider? {
        get { inner.metadataProvider }
        set { inner.metadataProvider = newValue }
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { inner[metadataKey: key] }
        set { inner[metadataKey: key] = newValue.map(Self.oneLine) }
    }

    public func log(event: LogEvent) {
        var event = event
        event.message = "\(event.message.description.shown(upTo: Self.length))"
        event.metadata = event.metadata?.mapValues(Self.oneLine)
        inner.log(event: event)
    }

    private static func oneLine(_ value: Logger.Metadata.Value) -> Logger.Metadata.Value {
        switch value {
        case .string(let text): .string(text.shown(upTo: length))
        case .stringConvertible(let text): .string(text.description.shown(upTo: length))
        case .array(let values): .array(values.map(oneLine))
        case .dictionary(let values): .dictionary(values.mapValues(oneLine))
        }
    }
}
