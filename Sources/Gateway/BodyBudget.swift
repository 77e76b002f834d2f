// How much memory the bodies of all open requests may take together.

import Synchronization

/// Bytes of request bodies that are held at a time: from their arrival until their tokens are all that is left.
package final class BodyBudget: Sendable {
    private let total: Int
    private let perAddress: Int
    private let held = Mutex<(all: Int, byAddress: [String: Int])>((all: 0, byAddress: [:]))

    /// `total` in bytes; half of it, at least `largest`, may be of one address.
    package init(total: Int, largest: Int) {
        self.total = max(total, largest)
        perAddress = max(total / 2, largest)
    }

    /// Bytes held now.
    package var bytes: Int { held.withLock { $0.all } }

    /// A share of nothing yet, for a request from `address`.
    package func share(of address: String) -> Share { Share(self, address) }

    private func take(_ bytes: Int, _ address: String) -> Bool {
        held.withLock { held in
            guard held.all + bytes <= total, held.byAddress[address, default: 0] + bytes <= perAddress else {
                return false
            }
            held.all += bytes
            held.byAddress[address, default: 0] += bytes
            return true
        }
    }

    private func force(_ bytes: Int, _ address: String) {
        guard bytes > 0 else { return }
        held.withLock { held in
            held.all += bytes
            held.byAddress[address, default: 0] += bytes
        }
    }

    private func give(_ bytes: Int, _ address: String) {
        guard bytes > 0 else { return }
        held.withLock { held in
            held.all -= bytes
            let left = held.byAddress[address, default: 0] - bytes
            held.byAddress[address] = left > 0 ? left : nil
        }
    }

    /// What one request holds, given back with its last reference.
    package final class Share: Sendable {
        private let budget: BodyBudget
        private let address: String
        private let taken = Mutex(0)

        fileprivate init(_ budget: BodyBudget, _ address: String) {
            self.budget = budget
            self.address = address
        }

        deinit { budget.give(taken.withLock { $0 }, address) }

        /// Takes more until it holds `bytes`, though there may be no more: what is in memory already is to keep others out.
        package func grow(anywayTo bytes: Int) {
            let more = taken.withLock { taken in
                defer { taken = max(taken, bytes) }
                return max(0, bytes - taken)
            }
            budget.force(more, address)
        }

        /// Takes more. `false`: there is no more, and nothing was taken.
        package func grow(by bytes: Int) -> Bool {
            guard budget.take(bytes, address) else { return false }
            taken.withLock { $0 += bytes }
            return true
        }
    }
}
