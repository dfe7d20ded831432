package import Domain

/// The database as the delivery machine sees it: plain rows, and one function per verb, each a whole transaction with the guards of the SQL.
///
/// Ids are small integers: a message's id is its index in `messages`, a sender's in `senders`. Times are milliseconds. A differential test runs
/// the same verbs on PostgreSQL and compares every row, which is what makes the model worth believing.
package struct ModelDatabase {
    package struct Message {
        /// The client's request behind it: what a recipient recognises a text by.
        package let request: Int
        package let account: Int
        package var sender: Int
        package var wireID: Int
        package let recipient: Int
        package var state: ModelState
        package var attempts = 0
        package var refusals = 0
        package var moves = 0
        /// As stored in the row; the events themselves stand in `events`.
        package var eventCount = 1
        package var failure: String?
        package let expiresAt: Int
        package var settledAt: Int?
    }

    package struct OutboxRow {
        package var sender: Int
        package var state: ModelState
        package let priority: Int
        package var dueAt: Int
        package let expiresAt: Int
        package let atMostOnce: Bool
        package let movable: Bool
        package let failFast: Bool
        package var wireID: Int
        package var epoch = 0
        package var deadline: Int?
        package var claims = 0
        package var beat = 0
        package var attempts = 0
        package var refusals = 0
        package var excluded: [Int] = []
    }

    package struct Event: Equatable {
        package let number: Int
        package let kind: String
        package let failure: String?
    }

    package struct Attempt: Equatable {
        package let number: Int
        package let sender: Int
        package let epoch: Int
        package var outcome: String
        package var serverCode: Int?
    }

    package struct Lease {
        package var holder: Int?
        package var epoch = 0
        package var expiresAt = Int.min
        package var beats = 0
    }

    package struct Key {
        package let message: Int
        package let fingerprint: Int
        package let expiresAt: Int
    }

    package static let wireLimit = 3
    package static let claimLimit = 3
    /// Milliseconds.
    package static let loggedOutGrace = 3_600_000
    package static let acknowledgementLimit = 75_000
    package static let keyLifetime = 72 * 3_600_000

    package internal(set) var messages: [Message?] = []
    package internal(set) var outbox: [OutboxRow?] = []
    package internal(set) var events: [[Event]] = []
    package internal(set) var attempts: [[Attempt]] = []
    package internal(set) var leases: [Lease]
    package internal(set) var senders: [ModelSender]
    /// (sender, wire id) → message.
    package internal(set) var wireIDs: [WireName: Int] = [:]
    package internal(set) var keys: [Int: Key] = [:]
    /// The same limits hold for every sender.
    package let limits: EffectiveLimits
    /// What each sender has sent in its running windows.
    package internal(set) var usage: [SendingUsage]
    /// Whom a sender has written to, and who refused it for ever.
    package internal(set) var known: [Pair: Greeting] = [:]
    /// How far the Signal session has got.
    var ratchets: [Pair: Int] = [:]
    /// Messages that the last verbs wrote, for the checker, which empties it.
    var touched: [Int] = []
    let sabotage: ModelSabotage?

    package init(senders: [ModelSender], limits: EffectiveLimits = .none, sabotage: ModelSabotage? = nil) {
        self.senders = senders
        self.limits = limits
        leases = senders.map { _ in Lease() }
        usage = senders.map { _ in .none }
        self.sabotage = sabotage
    }

    package struct WireName: Hashable {
        package let sender: Int
        package let wireID: Int
    }

    package struct Pair: Hashable {
        package let sender: Int
        package let recipient: Int

        package init(sender: Int, recipient: Int) {
            self.sender = sender
            self.recipient = recipient
        }
    }

    package struct Greeting: Equatable {
        package var hasWritten = false
        package var isRefused = false
    }

    // MARK: Shared steps

    func holds(_ owner: ModelOwner) -> Bool { leases[owner.sender].epoch == owner.epoch }

    /// Room for a message that is about to be stored; the index is its id.
    package mutating func makeID() -> Int {
        messages.append(nil)
        outbox.append(nil)
        events.append([])
        attempts.append([])
        return messages.count - 1
    }

    mutating func tell(_ id: Int, _ kind: String, failure: String? = nil) {
        if sabotage == .forgetEvent, kind == "sent", id % 3 == 0 { return }
        events[id].append(Event(number: messages[id]?.eventCount ?? 0, kind: kind, failure: failure))
    }

    /// Ends a message: row gone, state and event written.
    mutating func settle(_ id: Int, as state: ModelState, failure: String?, now: Int) {
        outbox[id] = nil
        messages[id]?.state = state
        messages[id]?.failure = failure
        messages[id]?.settledAt = now
        messages[id]?.eventCount += 1
        tell(id, state.name, failure: failure)
        touched.append(id)
    }

    mutating func note(_ id: Int, attempt: Attempt, overwrites: Bool) {
        if let known = attempts[id].firstIndex(where: { $0.number == attempt.number }) {
            if overwrites {
                attempts[id][known].outcome = attempt.outcome
                if attempt.outcome == "refused" { attempts[id][known].serverCode = attempt.serverCode }
            }
        } else {
            attempts[id].append(attempt)
        }
    }
}

/// A sender as its row tells.
package struct ModelSender {
    package let account: Int
    package var state: String
    package var stateSince = 0
    package var pausedUntil = Int.min
    package var pauseLevel = 0
    package var newChatsUntil = Int.min
    package var newChatsLevel = 0

    package init(account: Int, state: String = "connecting") {
        self.account = account
        self.state = state
    }
}

/// A sender held under an epoch.
package struct ModelOwner: Hashable, Sendable {
    package let sender: Int
    package let epoch: Int

    package init(sender: Int, epoch: Int) {
        self.sender = sender
        self.epoch = epoch
    }
}
