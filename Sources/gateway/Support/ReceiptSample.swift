import Domain
import Foundation
import Synchronization

/// Some of the messages that left over this node, followed until their first delivery receipt: what becomes of them is looked up by their ids, a few
/// hundred rows at each scrape. Each that is followed is recorded exactly once, as late as it may be, so that slow phones weigh as much as they should.
final class ReceiptSample: Sendable {
    /// Followed at the same time.
    static let limit = 256
    /// A message that has no receipt after this is recorded as that late.
    static let patience: TimeInterval = 600

    private struct Followed {
        let account: Account.ID
        let since: Date
    }

    private let messages = Mutex<[Message.ID: Followed]>([:])
    private let now: @Sendable () -> Date

    init(now: @escaping @Sendable () -> Date) { self.now = now }

    var count: Int { messages.withLock { $0.count } }

    /// Nothing happens while enough are followed.
    func follow(_ message: ClaimedMessage) { follow(message.id, of: message.account) }

    func follow(_ message: Message.ID, of account: Account.ID) {
        messages.withLock { messages in
            guard messages.count < Self.limit else { return }
            messages[message] = Followed(account: account, since: now())
        }
    }

    /// Records what has become of them.
    func look(_ operations: Operations, _ measurements: Measurements) async throws {
        let followed = messages.withLock { $0 }
        guard !followed.isEmpty else { return }
        let fates = try await operations.fates(of: followed.map { ($0.value.account, $0.key) })
        let time = now()
        let byMessage = Dictionary(fates.map { ($0.message, $0) }) { first, _ in first }
        var done: [Message.ID] = []
        for (message, entry) in followed {
            if let fate = byMessage[message], let wireAt = fate.wireAt, let deliveredAt = fate.deliveredAt {
                measurements.received(after: .seconds(max(0, deliveredAt.timeIntervalSince(wireAt))))
                done.append(message)
            } else if time.timeIntervalSince(entry.since) >= Self.patience {
                measurements.received(after: .seconds(Self.patience))
                done.append(message)
            } else if byMessage[message] == nil {
                // Erased with its account.
                done.append(message)
            }
        }
        messages.withLock { messages in done.forEach { messages[$0] = nil } }
    }
}
