// What time it is, for templates that ask.

internal import Glibc

/// Where `strftime_now` takes the time from.
public struct Clock: Sendable {
    private let now: @Sendable () -> tm

    /// The host's clock, in its time zone.
    public static let system = Clock {
        var seconds = time(nil)
        var parts = tm()
        localtime_r(&seconds, &parts)
        return parts
    }

    /// A clock that stands still.
    public static func fixed(year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0) -> Clock {
        Clock {
            var parts = tm()
            parts.tm_year = Int32(clamping: year - 1900)
            parts.tm_mon = Int32(clamping: month - 1)
            parts.tm_mday = Int32(clamping: day)
            parts.tm_hour = Int32(clamping: hour)
            parts.tm_min = Int32(clamping: minute)
            // Fills in the day of the week and of the year.
            timegm(&parts)
            return parts
        }
    }

    /// `datetime.now().strftime(format)`; the parts of a second are zero.
    func text(_ format: String) -> String {
        // Python fills these in itself; a time without zone has none to name.
        var adapted = ""
        var isOpen = false
        for character in format where character != "\0" {
            if isOpen {
                isOpen = false
                switch character {
                case "f": adapted += "000000"
                case "z", "Z": break
                default: adapted += "%" + String(character)
                }
            } else if character == "%" {
                isOpen = true
            } else {
                adapted.append(character)
            }
        }
        if isOpen { adapted += "%%" }
        guard !adapted.isEmpty else { return "" }
        var parts = now()
        // A mark in front, for an empty result is also how strftime says that there was no room.
        var buffer = [CChar](repeating: 0, count: 256 + adapted.utf8.count * 8)
        let count = strftime(&buffer, buffer.count, "." + adapted, &parts)
        guard count > 0 else { return "" }
        return String(decoding: buffer[1..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// C's functions of floats.
enum FloatMath {
    static func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }
}
