// Floats with a given number of digits, as C's printf writes them.

internal import Glibc

enum FloatFormat {
    /// Most digits behind the point that anybody may ask for.
    static let mostDigits = 1_000

    /// `value` in the form `f`, `e` or `g` (or their capitals), with at most `mostDigits` digits.
    static func text(_ value: Double, _ form: String, _ digits: Int, keepsPoint: Bool = false) -> String {
        if value.isNaN { return form == form.uppercased() ? "NAN" : "nan" }
        let digits = Int32(clamping: min(max(digits, 0), mostDigits))
        let format = "%\(keepsPoint ? "#" : "").*\(form)"
        return withVaList([digits, value]) { arguments in
            var buffer = [CChar](repeating: 0, count: 2048)
            let count = vsnprintf(&buffer, buffer.count, format, arguments)
            return String(decoding: buffer[0..<max(Int(count), 0)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }
}
