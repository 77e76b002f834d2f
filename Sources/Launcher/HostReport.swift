// What a host says about itself, and whether the program can run there.

/// The answer of ``script(_:)``.
package struct HostReport: Equatable, Sendable {
    /// As `uname -m` says it.
    package var machine = ""
    /// Version of the GNU C library, major and minor; nil where it has another.
    package var glibc: [Int]?
    package var hasRsync = false
    /// Exit status and last line of the program's `--version`.
    package var status: Int32 = 127
    package var said = ""

    /// A shell script that reports on the host and on `executable` there.
    static func script(_ executable: String) -> String {
        let program = ShellWord.quoted(executable)
        return """
            echo "machine $(uname -m)"
            echo "libc $(getconf GNU_LIBC_VERSION 2>/dev/null)"
            echo "rsync $(command -v rsync)"
            said=$(\(program) --version 2>&1 </dev/null); status=$?
            echo "status $status"
            echo "said $(printf %s "$said" | tail -n 1)"

            """
    }

    /// Reads it; what is not there stays unknown.
    package init(_ text: String) {
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ", maxSplits: 1)
            guard parts.count == 2 else { continue }
            switch parts[0] {
            case "machine": machine = String(parts[1])
            case "libc":
                guard parts[1].hasPrefix("glibc ") else { continue }
                let numbers = parts[1].dropFirst(6).split(separator: ".").map { Int($0) }
                glibc = numbers.contains(nil) || numbers.isEmpty ? nil : numbers.compactMap { $0 }
            case "rsync": hasRsync = parts[1].hasPrefix("/")
            case "status": status = Int32(parts[1]) ?? 127
            case "said": said = String(parts[1])
            default: break
            }
        }
    }

    /// Why a binary of this machine can't run there; nil: it can.
    package func problemOfBinary(from own: HostReport) -> String? {
        guard machine == own.machine else {
            return "its CPUs are \(machine), this machine's \(own.machine): build the program there, leave --push out "
                + "and name it with `executable`"
        }
        guard let glibc else {
            return "it has no GNU C library: build the program there, leave --push out and name it with `executable`"
        }
        if let ours = own.glibc, glibc.lexicographicallyPrecedes(ours) {
            return "its C library is \(Self.text(glibc)), older than this machine's \(Self.text(ours)): build the "
                + "program on the oldest host, or there and leave --push out"
        }
        return nil
    }

    /// Why the program there is not to be used; nil: it is.
    package func problemOfProgram(_ executable: String, version: String, isPushed: Bool) -> String? {
        guard status == 0 else {
            let fix =
                said.contains("shared libraries")
                ? "install that library there, Swift's own too (or build with --static-swift-stdlib)"
                : isPushed ? "see whether it runs there" : "copy it there with --push, or name it with `executable`"
            return "\(executable) does not run there (exit status \(status): \(said)); \(fix)"
        }
        guard said == version else {
            return "\(executable) there is version \(said), here \(version); copy it there with --push"
        }
        return nil
    }

    private static func text(_ version: [Int]) -> String { version.map(String.init).joined(separator: ".") }
}
