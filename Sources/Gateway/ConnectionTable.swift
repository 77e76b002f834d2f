// Who is connected, and whose connection goes when there is room for no more. A pure value: events in, verdicts out.

/// Every open connection by its number: from where it comes, and whether a request of it is being answered.
///
/// A connection with nothing under way, new ones and half-sent heads included, may be closed at any time to make room,
/// the one that waits longest first. So a newcomer always gets to say what it wants, however many others are silent,
/// and the probes of an orchestrator are served whatever the rest does.
package struct ConnectionTable {
    package struct Limits: Equatable, Sendable {
        /// The most requests answered at a time.
        package var total: Int
        /// The most of them from one address.
        package var perAddress: Int
        /// Connections above these limits, from which only probes are answered.
        package var reserve: Int

        package init(total: Int, perAddress: Int, reserve: Int) {
            self.total = total
            self.perAddress = perAddress
            self.reserve = reserve
        }
    }

    private struct Entry {
        var address: String
        var isBusy = false
        /// When it last became idle, as a running number.
        var since: UInt64
    }

    private struct Count {
        var open = 0
        var busy = 0
    }

    private let limits: Limits
    private var entries: [Int: Entry] = [:]
    private var counts: [String: Count] = [:]
    private var busy = 0
    private var clock: UInt64 = 0

    package init(limits: Limits) { self.limits = limits }

    /// Open connections.
    package var count: Int { entries.count }

    /// Takes a new connection in. Returns the one to close for it, which is itself when every other is busy.
    package mutating func open(_ id: Int, from address: String) -> Int? {
        clock += 1
        entries[id] = Entry(address: address, since: clock)
        counts[address, default: Count()].open += 1
        if counts[address, default: Count()].open > limits.perAddress + limits.reserve {
            return idlest(from: address, but: id) ?? id
        }
        return entries.count > limits.total + limits.reserve ? idlest(from: nil, but: id) ?? id : nil
    }

    /// A request begins. `false`: there is room for its refusal only.
    package mutating func begin(_ id: Int, isProbe: Bool) -> Bool {
        guard let entry = entries[id] else { return false }
        guard !entry.isBusy else { return true }
        let ofAddress = counts[entry.address, default: Count()].busy
        guard isProbe || (busy < limits.total && ofAddress < limits.perAddress) else { return false }
        entries[id]?.isBusy = true
        counts[entry.address, default: Count()].busy += 1
        busy += 1
        return true
    }

    /// Its request is answered.
    package mutating func end(_ id: Int) {
        guard let entry = entries[id], entry.isBusy else { return }
        clock += 1
        entries[id] = Entry(address: entry.address, since: clock)
        counts[entry.address]?.busy -= 1
        busy -= 1
    }

    /// It is closed.
    package mutating func close(_ id: Int) {
        end(id)
        guard let entry = entries.removeValue(forKey: id) else { return }
        counts[entry.address]?.open -= 1
        if counts[entry.address]?.open == 0 { counts[entry.address] = nil }
    }

    private func idlest(from address: String?, but newcomer: Int) -> Int? {
        entries.lazy
            .filter { !$0.value.isBusy && $0.key != newcomer && (address == nil || $0.value.address == address) }
            .min { $0.value.since < $1.value.since }?.key
    }
}
