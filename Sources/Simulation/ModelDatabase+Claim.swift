extension ModelDatabase {
    package struct Claimed {
        package let message: Int
        package let owner: ModelOwner
        package let wireID: Int
        package let attempt: Int
        package let expiresAt: Int
        package let deadline: Int
        package let onWireBefore: Bool
        package let recipient: Int
        package let priority: Int
        /// The sender has never written to this recipient.
        package let isCold: Bool
        /// How often the server has refused it.
        package let refusals: Int
    }

    /// Due messages of senders that are held, and those on the wire whose answer is overdue or whose earlier owner is gone.
    package mutating func claim(limit: Int, perSender: Int, owned: [ModelOwner], now: Int, deadline: Int) -> [Claimed] {
        var again: [(priority: Int, dueAt: Int, id: Int, owner: ModelOwner, deadline: Int)] = []
        var due: [(priority: Int, dueAt: Int, id: Int, owner: ModelOwner)] = []
        for owner in owned where maySend(owner, now: now) {
            var overdue: [(priority: Int, dueAt: Int, id: Int, owner: ModelOwner, deadline: Int)] = []
            for id in outbox.indices {
                guard let row = outbox[id], row.sender == owner.sender, row.state == .onWire, row.expiresAt > now, row.attempts < Self.wireLimit,
                    (row.deadline ?? Int.max) <= now || row.epoch < owner.epoch, !row.atMostOnce || sabotage == .atMostOnceIgnored
                else { continue }
                overdue.append((row.priority, row.dueAt, id, owner, row.deadline ?? 0))
            }
            again += overdue.sorted { ($0.deadline, $0.id) < ($1.deadline, $1.id) }.prefix(perSender)
        }
        again = Array(again.prefix(limit))
        // A suspect, which was in the hands of a process that died: one at most, and before the others.
        var suspect: [(priority: Int, dueAt: Int, id: Int, owner: ModelOwner)] = []
        for owner in owned where maySend(owner, now: now) && ModelTime.moment(usage[owner.sender].nextAt) <= now {
            var suspects: [(priority: Int, dueAt: Int, id: Int, owner: ModelOwner)] = []
            var waiting: [(priority: Int, dueAt: Int, id: Int, owner: ModelOwner)] = []
            for id in outbox.indices {
                guard let row = outbox[id], row.sender == owner.sender,
                    row.state == .accepted || row.state == .prepared && sabotage == .claimWithoutLock,
                    row.dueAt <= now, row.expiresAt > now
                else { continue }
                if row.claims > 0, row.state == .accepted {
                    suspects.append((row.priority, row.dueAt, id, owner))
                } else {
                    waiting.append((row.priority, row.dueAt, id, owner))
                }
            }
            var places = perSender - again.count { $0.owner == owner }
            if suspect.isEmpty, places > 0, again.count < limit {
                suspect += suspects.sorted { ($0.priority, $0.dueAt, $0.id) < ($1.priority, $1.dueAt, $1.id) }.prefix(1)
                places -= suspect.count
            }
            due += waiting.sorted { ($0.priority, $0.dueAt, $0.id) < ($1.priority, $1.dueAt, $1.id) }.prefix(max(0, places))
        }
        due = Array(due.prefix(limit - again.count - suspect.count))
        again.sort { ($0.priority, $0.dueAt, $0.id) < ($1.priority, $1.dueAt, $1.id) }
        due.sort { ($0.priority, $0.dueAt, $0.id) < ($1.priority, $1.dueAt, $1.id) }
        var claimed: [(id: Int, owner: ModelOwner, onWire: Bool)] = []
        for entry in again {
            outbox[entry.id]?.epoch = entry.owner.epoch
            outbox[entry.id]?.deadline = deadline
            claimed.append((entry.id, entry.owner, true))
        }
        for entry in suspect + due {
            outbox[entry.id]?.state = .prepared
            outbox[entry.id]?.epoch = entry.owner.epoch
            outbox[entry.id]?.deadline = deadline
            outbox[entry.id]?.claims += 1
            outbox[entry.id]?.beat = leases[entry.owner.sender].beats
            touched.append(entry.id)
            claimed.append((entry.id, entry.owner, false))
        }
        return claimed.compactMap { entry in
            guard let row = outbox[entry.id], let message = messages[entry.id] else { return nil }
            return Claimed(
                message: entry.id, owner: entry.owner, wireID: row.wireID, attempt: row.attempts, expiresAt: row.expiresAt, deadline: deadline,
                onWireBefore: entry.onWire, recipient: message.recipient, priority: row.priority,
                isCold: known[Pair(sender: row.sender, recipient: message.recipient)] == nil, refusals: row.refusals)
        }
    }

    /// Its lease is held, and it is neither going nor paused.
    private func maySend(_ owner: ModelOwner, now: Int) -> Bool {
        holds(owner) && senders[owner.sender].state != "removing" && senders[owner.sender].state != "removed"
            && senders[owner.sender].pausedUntil <= now
    }
}
