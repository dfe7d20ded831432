import Foundation

/// Whether a sender's messages arrive: of those that the server has acknowledged, how many a device has reported. A number whose messages vanish
/// is probably restricted in silence, so others should go first for a while.
struct ReceiptWatch: Sendable {
    enum Change: Equatable, Sendable {
        /// Others go first until then.
        case demote(until: Date)
        /// Enough receipts came after all.
        case restore
    }

    /// A receipt may take this long: the phone must be reachable.
    static let patience: TimeInterval = 600
    /// Fewer messages prove nothing.
    static let least = 20
    /// Older ones than these are not looked at.
    static let most = 60
    /// Half of the messages must arrive.
    static let share = 0.5
    static let demotion: TimeInterval = 1_800
    /// Between a demotion and its end, and the other way round.
    static let damping: TimeInterval = 60

    private struct Sent {
        let wireID: String
        let at: Date
        var isReceived = false
    }

    /// Acknowledged messages, the oldest first.
    private var sent: [Sent] = []
    private var demotedUntil = Date.distantPast
    private var lastChange = Date.distantPast

    mutating func acknowledged(_ wireID: String, at now: Date) {
        sent.append(Sent(wireID: wireID, at: now))
        // Those that are too young to count must not push out the ones that do.
        let old = sent.prefix { $0.at <= now.addingTimeInterval(-Self.patience) }.count
        if old > Self.most { sent.removeFirst(old - Self.most) }
        if sent.count > Self.most * 8 { sent.removeFirst(sent.count - Self.most * 8) }
    }

    mutating func received(_ wireIDs: [String]) {
        for id in wireIDs { if let index = sent.lastIndex(where: { $0.wireID == id }) { sent[index].isReceived = true } }
    }

    /// Looks at what is known by now; nil: nothing changes.
    mutating func judge(at now: Date) -> Change? {
        guard now.timeIntervalSince(lastChange) >= Self.damping else { return nil }
        let due = sent.prefix { $0.at <= now.addingTimeInterval(-Self.patience) }
        let judged = due.suffix(Self.most)
        let received = judged.count { $0.isReceived }
        let isGood = Double(received) >= Double(judged.count) * Self.share
        if demotedUntil > now {
            guard judged.count >= Self.least, isGood else { return nil }
            demotedUntil = .distantPast
            lastChange = now
            return .restore
        }
        if demotedUntil > .distantPast {
            // It returned by itself, and is judged by what it sends from now on.
            demotedUntil = .distantPast
            lastChange = now
            sent.removeFirst(due.count)
            return nil
        }
        guard judged.count >= Self.least, !isGood else { return nil }
        demotedUntil = now.addingTimeInterval(Self.demotion)
        lastChange = now
        return .demote(until: demotedUntil)
    }
}
