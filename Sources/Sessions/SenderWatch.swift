import Domain
import Foundation
import Logging
import Synchronization

/// How one sender fares while this node owns it: watches its receipts, and tells the database what follows from them and from bans.
final class SenderWatch: Sendable {
    private let owner: OwnedSender
    private let health: Health
    private let now: @Sendable () -> Date
    private let logger: Logger
    private let receipts = Mutex(ReceiptWatch())

    init(owner: OwnedSender, health: Health, now: @escaping @Sendable () -> Date, logger: Logger) {
        self.owner = owner
        self.health = health
        self.now = now
        self.logger = logger
    }

    /// The server took it.
    func acknowledged(_ wireID: String) { receipts.withLock { $0.acknowledged(wireID, at: now()) } }

    /// A device of the recipient has them.
    func received(_ wireIDs: [String]) { receipts.withLock { $0.received(wireIDs) } }

    /// Demotes the sender when too few of its messages arrive, and takes it back; called every few seconds.
    func judge() async {
        switch receipts.withLock({ $0.judge(at: now()) }) {
        case .demote(let until): await record(.receiptsMissing(until: until))
        case .restore: await record(.receiptsBack)
        case nil: break
        }
    }

    /// WhatsApp refuses its logins until then.
    func banned(until: Date) async { await record(.banned(until: until)) }

    private func record(_ finding: Health.Finding) async {
        logger.info("sender's health changed", metadata: ["sender.id": "\(owner.sender)", "finding": "\(finding)"])
        do {
            _ = try await health.record(finding, of: owner, now: now())
        } catch {
            // The next finding says it again; a ban is told at each login.
            logger.warning("sender's health was not recorded", metadata: ["sender.id": "\(owner.sender)", "error.code": "\(type(of: error))"])
        }
    }
}
