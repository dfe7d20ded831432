package import Foundation
import Synchronization

/// A sender that may have something to send, whoever owns it.
package struct DueSender: Hashable, Sendable {
    package let account: Account.ID
    package let sender: Sender.ID

    package init(account: Account.ID, sender: Sender.ID) {
        self.account = account
        self.sender = sender
    }
}

extension OwnedSender {
    package var place: DueSender { DueSender(account: account, sender: sender) }
}

/// Tells at once which senders have something due: the dispatchers of this process directly, those of others by NOTIFY. It only shortens
/// waiting; what is not told is found by the next probe.
package final class OutboxHints: Sendable {
    private struct Listener {
        var senders: Set<DueSender> = []
        var tell: @Sendable (Set<DueSender>) -> Void
    }

    private struct State {
        var lastListener = 0
        var listeners: [Int: Listener] = [:]
    }

    private let state = Mutex(State())

    init() {}

    /// From now on `tell` hears of the senders that ``serve(_:as:)`` names. It must return at once.
    package func listen(_ tell: @escaping @Sendable (Set<DueSender>) -> Void) -> Int {
        state.withLock { state in
            state.lastListener += 1
            state.listeners[state.lastListener] = Listener(tell: tell)
            return state.lastListener
        }
    }

    /// The senders that this listener sends for; replaces what it said before.
    package func serve(_ senders: Set<DueSender>, as listener: Int) { state.withLock { $0.listeners[listener]?.senders = senders } }

    package func endListening(_ listener: Int) { state.withLock { $0.listeners[listener] = nil } }

    /// Those that nobody in this process sends for: others must be notified.
    package func strangers(among senders: Set<DueSender>) -> Set<DueSender> {
        state.withLock { state in state.listeners.values.reduce(senders) { $0.subtracting($1.senders) } }
    }

    /// These have something due, and it is committed.
    package func tell(_ senders: Set<DueSender>) {
        let listeners = state.withLock { Array($0.listeners.values) }
        for listener in listeners {
            let theirs = listener.senders.intersection(senders)
            if !theirs.isEmpty { listener.tell(theirs) }
        }
    }

    // MARK: NOTIFY's payload

    /// PostgreSQL takes less than 8,000 bytes.
    private static let payloadLimit = 7_500

    /// `account:sender` pairs with commas between; empty, "look everywhere", when they are too many.
    package static func payload(for senders: Set<DueSender>) -> String {
        let text = senders.map { "\($0.account.uuid.uuidString):\($0.sender.uuid.uuidString)" }.sorted().joined(separator: ",")
        return text.utf8.count <= payloadLimit ? text : ""
    }

    /// nil: look everywhere.
    package static func senders(in payload: String?) -> Set<DueSender>? {
        guard let payload, !payload.isEmpty else { return nil }
        var senders: Set<DueSender> = []
        for pair in payload.split(separator: ",") {
            let ids = pair.split(separator: ":").compactMap { UUID(uuidString: String($0)) }
            guard ids.count == 2 else { return nil }
            senders.insert(DueSender(account: Account.ID(ids[0]), sender: Sender.ID(ids[1])))
        }
        return senders
    }
}
