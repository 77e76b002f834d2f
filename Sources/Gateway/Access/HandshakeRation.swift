// How many TLS handshakes an address may begin. A pure value: events in, verdicts out; time is passed in.

/// Rations handshakes by address: each costs up to a millisecond of a CPU, and whoever makes them all day would have one for
/// itself.
///
/// An address has a stock that fills at an even pace. One that is full again is forgotten, so that memory is
/// bounded; where more addresses come at once than are told apart, those beyond share one stock.
package struct HandshakeRation {
    private struct Stock {
        var level: Double
        var time: ContinuousClock.Instant
    }

    /// Addresses that are told apart.
    package static let mostAddresses = 4096

    /// Handshakes a second, and those that may come at once.
    private let pace: Double
    private let size: Double
    private var stocks: [String: Stock] = [:]
    private var others: Stock?

    /// - Parameters:
    ///   - pace: handshakes a second, at least 1.
    ///   - size: how many may come at once, at least 1.
    package init(pace: Int, size: Int) {
        self.pace = Double(max(1, pace))
        self.size = Double(max(1, size))
    }

    /// Addresses whose stock is not full.
    package var count: Int { stocks.count }

    /// A handshake begins. `false`: it may not.
    package mutating func admit(_ address: String, _ now: ContinuousClock.Instant) -> Bool {
        if stocks[address] == nil, stocks.count >= Self.mostAddresses {
            stocks = stocks.filter { level(of: $0.value, now) < size }
        }
        guard stocks[address] != nil || stocks.count < Self.mostAddresses else {
            var stock = others ?? Stock(level: size, time: now)
            defer { others = stock }
            return take(&stock, now)
        }
        var stock = stocks[address] ?? Stock(level: size, time: now)
        defer { stocks[address] = stock }
        return take(&stock, now)
    }

    private func level(of stock: Stock, _ now: ContinuousClock.Instant) -> Double {
        min(size, stock.level + max(0, (now - stock.time) / .seconds(1)) * pace)
    }

    private func take(_ stock: inout Stock, _ now: ContinuousClock.Instant) -> Bool {
        stock = Stock(level: level(of: stock, now), time: now)
        guard stock.level >= 1 else { return false }
        stock.level -= 1
        return true
    }
}
