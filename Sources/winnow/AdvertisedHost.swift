// The name that other hosts know this one by, as `--advertise` takes it.

import ArgumentParser
import Wire

/// What `--advertise` may be.
enum AdvertisedHost {
    /// Refuses what no other host could connect to.
    static func check(_ text: String?) throws {
        guard let text else { return }
        guard let host = Host(HostAddress.bracketed(text)), !host.isWildcard else {
            throw ValidationError(
                "--advertise must be a host that others can connect to, found '\(text)'; write its name or its address")
        }
    }
}
