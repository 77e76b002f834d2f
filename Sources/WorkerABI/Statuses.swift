// What became of a call, as C is told it.

import CWinnowWorker
import WinnowWorker

/// A status object; nil where all is well.
typealias Status = UnsafeMutablePointer<winnow_status>?

/// Why a call of the C interface can't be done.
struct CallError: Error {
    var code: winnow_code
    var message: String

    init(_ code: Int, _ message: String) {
        self.code = winnow_code(code)
        self.message = message
    }

    init(_ error: WorkerError) {
        let code =
            switch error {
            case .badConfiguration: WINNOW_BAD_CONFIGURATION
            case .key: WINNOW_BAD_KEY
            case .model: WINNOW_BAD_MODEL
            case .memory: WINNOW_NO_MEMORY
            case .transport: WINNOW_TRANSPORT
            case .refused: WINNOW_REFUSED
            case .ranBefore: WINNOW_MISUSE
            }
        guard case .badConfiguration(let field, let problem) = error else {
            self.init(Int(code), "\(error)")
            return
        }
        self.init(Int(code), "\(Self.field(field)): \(problem)")
    }

    /// What C calls a field of `WorkerConfiguration`: `kv_tokens` is kvTokens.
    private static func field(_ name: String) -> String {
        if name == "layerSpan" { return "layers" }
        return name.reduce(into: "") { $0 += $1.isUppercase ? "_\($1.lowercased())" : String($1) }
    }

    static func argument(_ name: String, _ problem: String) -> CallError {
        CallError(Int(WINNOW_INVALID_ARGUMENT), "\(name): \(problem)")
    }
}

/// Does a call and says what became of it.
func status(_ body: () throws(CallError) -> Void) -> Status {
    do throws(CallError) {
        try body()
        return nil
    } catch {
        return winnow_parts_status(error.code, error.message)
    }
}

/// Calls that wait for the worker's threads can't be made on one of them.
func checkMayWait(_ call: String) throws(CallError) {
    guard winnow_parts_in_callback() == 0 else {
        throw CallError(
            Int(WINNOW_MISUSE), "\(call) can't be called inside a callback: call it on a thread of your own")
    }
}

/// Calls the host.
func callingHost(_ body: () -> Void) {
    winnow_parts_enter_callback(1)
    body()
    winnow_parts_enter_callback(-1)
}
