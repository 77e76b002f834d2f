// Passing on a value that only one task at a time may touch.

import Synchronization

/// Carries a value from one task to another, once.
final class HandOver<Value>: Sendable {
    private let value: Mutex<Value?>

    init(_ value: consuming sending Value) { self.value = Mutex(value) }

    /// The value at the first call, `nil` at every other.
    func take() -> sending Value? {
        value.withLock { held in
            let value = held
            held = nil
            return value
        }
    }
}
