package import Foundation
package import Logging
package import Primitives
package import Secrets

/// What an account can do and what may happen to a message: one door per noun, each verb one transaction.
///
/// Every verb takes its time as a parameter; `now` here only ages what this process remembers (data keys, routing snapshots).
package struct Gateway: Sendable {
    package let databases: Databases
    package let accounts: Accounts
    package let apiKeys: APIKeys
    package let senders: Senders
    package let pools: Pools
    package let routing: Routing
    package let pairing: Pairings
    package let messages: Messages
    package let outbox: Outbox
    package let health: Health
    package let leases: Leases
    package let contacts: Contacts
    package let webhooks: Webhooks
    package let events: EventLog
    package let alerts: Alerts
    package let retention: Retention
    package let closing: Closing

    package init(
        databases: Databases, keyRing: KeyRing, random: any RandomSource = SystemRandom(), argon2: Argon2Hasher = Argon2Hasher(),
        pendingLimit: Int = Messages.defaultPendingLimit, acknowledgementLimit: TimeInterval = Outbox.defaultAcknowledgementLimit,
        isPaced: Bool = true, webhookURLs: WebhookURLRule = .none, logger: Logger, now: @escaping @Sendable () -> Date = { Date() }
    ) {
        let keys = AccountKeys(database: databases.api, keyRing: keyRing, random: random, now: now)
        self.databases = databases
        accounts = Accounts(databases: databases, keys: keys, random: random)
        apiKeys = APIKeys(databases: databases, keys: keys, random: random, hasher: argon2)
        routing = Routing(databases: databases, keys: keys, random: random, isPaced: isPaced, now: now)
        senders = Senders(databases: databases, keys: keys, random: random, routing: routing)
        pools = Pools(databases: databases, keys: keys, random: random, routing: routing)
        pairing = Pairings(databases: databases, keys: keys)
        let hints = OutboxHints()
        messages = Messages(
            databases: databases, keys: keys, routing: routing, hints: hints, random: random, pendingLimit: pendingLimit, now: now)
        outbox = Outbox(
            databases: databases, keys: keys, routing: routing, hints: hints, random: random, acknowledgementLimit: acknowledgementLimit,
            isPaced: isPaced,
            logger: logger)
        health = Health(database: databases.engine)
        leases = Leases(database: databases.leases)
        contacts = Contacts(database: databases.engine, keys: keys)
        webhooks = Webhooks(databases: databases, keys: keys, random: random, urls: webhookURLs)
        events = EventLog(databases: databases, keys: keys, random: random)
        alerts = Alerts(databases: databases, keys: keys, random: random, isPaced: isPaced)
        retention = Retention(database: databases.cron, random: random, logger: logger)
        closing = Closing(databases: databases, keys: keys, apiKeys: apiKeys, random: random, logger: logger)
    }
}
