import Domain
import Foundation

/// An account that has something to send.
struct Tenant: Sendable {
    /// Its messages between claim and wire, and places asked for.
    var working = 0
    var queue: [OwnedSender] = []
    private var head = 0
    /// It stands among the accounts whose turn comes.
    var isListed = false
    var restsUntil: ContinuousClock.Instant?
    private var usage = 0.0
    private var usedAt: ContinuousClock.Instant?

    /// Messages begun of late; halves every second.
    func recent(at moment: ContinuousClock.Instant) -> Double {
        guard let usedAt else { return 0 }
        return usage * exp2(-max(0, usedAt.duration(to: moment) / .seconds(1)))
    }

    mutating func use(_ messages: Int, at moment: ContinuousClock.Instant) {
        usage = recent(at: moment) + Double(messages)
        usedAt = moment
    }

    var hasQueue: Bool { head < queue.count }
    var waiting: Int { queue.count - head }

    mutating func next() -> OwnedSender? {
        guard hasQueue else { return nil }
        defer {
            head += 1
            if head == queue.count {
                queue.removeAll(keepingCapacity: true)
                head = 0
            } else if head >= 64 {
                queue.removeFirst(head)
                head = 0
            }
        }
        return queue[head]
    }
}
