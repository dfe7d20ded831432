import Domain
import Foundation
import Postgres
import Simulator
import Synchronization

/// What was posted, and what must become of it.
final class Ledger: Sendable {
    /// How a message must end.
    enum End: Sendable {
        /// Delivered or read, shown once on every device of the recipient.
        case shown
        /// Accepted by the server, shown once, no receipt ever.
        case taken
        /// Whether it was shown is not known to the gateway; at most once.
        case unclear
        /// Not shown, in one of these states.
        case notShown(Set<String>)
    }

    struct Entry: Sendable {
        let nonce: String
        let number: String
        var end: End
        /// The message's id; nil while no answer said so.
        var id: String?
        /// The first request had no answer, or one that said nothing about the message.
        var wasUnanswered = false
    }

    private let entries = Mutex<[String: Entry]>([:])
    private let ignored = Mutex<Set<String>>([])

    var all: [Entry] { entries.withLock { Array($0.values) } }
    var count: Int { entries.withLock { $0.count } }

    func add(_ entry: Entry) { entries.withLock { $0[entry.nonce] = entry } }

    func change(_ nonce: String, _ change: (inout Entry) -> Void) {
        entries.withLock { entries in
            guard var entry = entries[nonce] else { return }
            change(&entry)
            entries[nonce] = entry
        }
    }

    /// A text that is posted but that nobody waits for.
    func ignore(_ text: String) { ignored.withLock { _ = $0.insert(text) } }
    /// What was posted is not counted on any more.
    func giveUp(_ nonce: String) {
        entries.withLock { _ = $0.removeValue(forKey: nonce) }
        ignore(nonce)
    }
    func isIgnored(_ text: String) -> Bool { ignored.withLock { $0.contains(text) } }

    func entry(_ nonce: String) -> Entry? { entries.withLock { $0[nonce] } }
}

/// What became of messages: Jepsen's five classes at the recipients' devices (reliability.md §1, A15), and what never settled.
struct Reckoning: Sendable {
    var ok = 0
    /// Shown once although the answer was lost, or although it had to be written more than once.
    var recovered = 0
    /// Not shown, though the gateway said that it was sent.
    var lost: [String] = []
    var shownTwice: [String] = []
    /// Shown though the gateway said that it was not sent, to somebody else, or never posted; or in a state that it may not end in.
    var unexpected: [String] = []
    var stuck: [String] = []
    /// Invariants of the database that do not hold.
    var violations: [String] = []

    var isClean: Bool { lost.isEmpty && shownTwice.isEmpty && unexpected.isEmpty && stuck.isEmpty && violations.isEmpty }

    /// Which check complained first; for the table of sabotages.
    var complaint: String? {
        let checks = [
            ("shown twice", shownTwice), ("lost", lost), ("unexpected", unexpected), ("violation", violations), ("stuck", stuck),
        ]
        guard let (name, cases) = checks.first(where: { !$0.1.isEmpty }) else { return nil }
        return "\(name) \(cases.count): \(cases[0])"
    }

    mutating func add(_ other: Reckoning) {
        ok += other.ok
        recovered += other.recovered
        lost += other.lost
        shownTwice += other.shownTwice
        unexpected += other.unexpected
        stuck += other.stuck
        violations += other.violations
    }
}

extension World {
    /// How a message stands in the database.
    private struct Standing: Sendable {
        var state: String
        var attempts: Int
    }

    /// Waits until these messages have ended, then compares what the gateway says with what the recipients saw.
    func reckon(_ nonces: [String], within limit: Duration, hurrying: Bool = false) async throws -> Reckoning {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: limit)
        var open = Set(nonces)
        var standings: [String: Standing] = [:]
        while true {
            let entries = open.compactMap(ledger.entry)
            let found = try await self.standings(entries.compactMap(\.id))
            for entry in entries {
                guard let id = entry.id, let standing = found[id] else { continue }
                standings[entry.nonce] = standing
                if Self.hasEnded(standing.state, entry.end) { open.remove(entry.nonce) }
            }
            if open.isEmpty || clock.now >= end { break }
            if hurrying { try await hurry() }
            try await clock.sleep(for: .milliseconds(50))
        }
        // One device may say that it has the message before another one has it.
        let grace = min(end, clock.now.advanced(by: .seconds(15)))
        while true {
            let result = compare(nonces.compactMap(ledger.entry), standings, isStuck: open)
            if result.lost.isEmpty || clock.now >= grace { return result }
            try await clock.sleep(for: .milliseconds(100))
        }
    }

    /// The last look: everything that was ever posted here, what was never posted, and the database's invariants.
    func reckonAtTheEnd(within limit: Duration = .seconds(30)) async throws -> Reckoning {
        var result = try await reckon(ledger.all.map(\.nonce), within: limit)
        for message in simulator.received(limit: 400_000) where !message.isOwnCopy && message.shown > 0 {
            if let text = message.text, ledger.isIgnored(text) { continue }
            guard let nonce = message.text, let entry = ledger.entry(nonce) else {
                result.unexpected.append("a text that nobody posted at \(message.device)")
                continue
            }
            if entry.number != message.number { result.unexpected.append("\(nonce) at another number") }
        }
        result.violations = try await Audit.violations(in: database.admin, isFinal: true)
        let unreadable = simulator.counters.decryptFailures
        if unreadable > 0 { result.violations.append("\(unreadable) copies that no device could decrypt") }
        let broken = answers.sum(500..<501)
        if broken > 0 { result.violations.append("\(broken) requests answered with 500") }
        let refused = logLines(holding: Audit.refusedTransition)
        if refused > 0 { result.violations.append("\(refused) transitions that the database refused") }
        return result
    }

    /// While the gateways stand still: a byte may only have left for what is committed as `on_wire` (I4).
    func bytesWithoutPreWire() async throws -> [String] {
        let shown = Set(simulator.received(limit: 400_000).lazy.filter { $0.shown > 0 }.compactMap(\.text))
        let entries = ledger.all.filter { shown.contains($0.nonce) && $0.id != nil }
        let states = try await standings(entries.compactMap(\.id))
        return entries.compactMap { entry in
            guard let id = entry.id, let state = states[id]?.state, ["scheduled", "accepted", "expired", "canceled", "failed"].contains(state)
            else { return nil }
            return "I4: \(entry.nonce) was shown while it was \(state)"
        }
    }

    // MARK: Steps

    private static func hasEnded(_ state: String, _ end: Ledger.End) -> Bool {
        switch end {
        case .shown: ["delivered", "read", "failed", "expired", "canceled", "unconfirmed"].contains(state)
        case .taken, .unclear, .notShown: ["sent", "delivered", "read", "failed", "expired", "canceled", "unconfirmed"].contains(state)
        }
    }

    private func standings(_ ids: [String]) async throws -> [String: Standing] {
        let uuids = try ids.map { try Message.ID(text: $0).uuid }
        let rows = try await database.ask(
            "proof.standings", "SELECT message_id, state, attempts FROM messages WHERE message_id = ANY (\(uuids))"
        ) { row in
            (
                id: Message.ID(try row.column("message_id", as: UUID.self)).description,
                standing: Standing(
                    state: try row.column("state", as: String.self), attempts: Int(try row.column("attempts", as: Int16.self)))
            )
        }
        return Dictionary(rows.map { ($0.id, $0.standing) }) { first, _ in first }
    }

    private func compare(_ entries: [Ledger.Entry], _ standings: [String: Standing], isStuck: Set<String>) -> Reckoning {
        var shown: [String: [String: Int]] = [:]
        for number in Set(entries.map(\.number)) {
            for message in simulator.received(number: number, limit: 400_000) where !message.isOwnCopy {
                guard let nonce = message.text else { continue }
                shown[nonce, default: [:]][message.device, default: 0] += message.shown
            }
        }
        var result = Reckoning()
        for entry in entries.sorted(by: { $0.nonce < $1.nonce }) {
            let standing = standings[entry.nonce]
            let what = "\(entry.nonce) \(entry.id ?? "without id") is \(standing?.state ?? "nowhere")"
            let counts = shown[entry.nonce] ?? [:]
            if counts.values.contains(where: { $0 > 1 }) { result.shownTwice.append(what) }
            guard let standing else {
                // What was answered with an id and is nowhere is lost.
                if entry.id == nil { result.stuck.append(what) } else { result.lost.append(what) }
                continue
            }
            guard !isStuck.contains(entry.nonce) else {
                result.stuck.append(what)
                continue
            }
            // Every device that the number has, not only those that something reached.
            let devices = (try? simulator.addRecipient(entry.number).devices) ?? []
            let missing = devices.filter { counts[$0, default: 0] == 0 }
            switch entry.end {
            case .shown, .taken:
                let states: Set<String> = if case .taken = entry.end { ["sent", "delivered", "read"] } else { ["delivered", "read"] }
                if !states.contains(standing.state) {
                    result.unexpected.append(what)
                } else if !missing.isEmpty {
                    result.lost.append(what)
                } else if entry.wasUnanswered || standing.attempts > 1 {
                    result.recovered += 1
                } else {
                    result.ok += 1
                }
            case .unclear:
                let mustShow = standing.state != "unconfirmed"
                if !["unconfirmed", "sent", "delivered", "read"].contains(standing.state) {
                    result.unexpected.append(what)
                } else if mustShow && !missing.isEmpty {
                    result.lost.append(what)
                } else {
                    result.ok += 1
                }
            case .notShown(let states):
                if !states.contains(standing.state) || counts.values.contains(where: { $0 > 0 }) {
                    result.unexpected.append(what + (counts.isEmpty ? "" : " and was shown"))
                } else {
                    result.ok += 1
                }
            }
        }
        return result
    }

    /// What waits for a later moment comes due now, and senders that rest are fresh: the proof has no time for back-off.
    func hurry() async throws {
        try await database.tell(
            "proof.hurry",
            """
            UPDATE outbox SET due_at = now() WHERE state = 'accepted' AND due_at > now()
            """)
        try await database.tell(
            "proof.refresh",
            """
            UPDATE sender_health SET paused_until = '-infinity', new_chats_until = '-infinity', demoted_until = '-infinity'
            WHERE paused_until > now() OR new_chats_until > now() OR demoted_until > now()
            """)
    }
}
