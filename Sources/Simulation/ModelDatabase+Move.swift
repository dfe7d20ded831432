extension ModelDatabase {
    /// Gives a message that nothing has left of to another sender, under a new wire id. False: it was not there to be moved.
    package mutating func move(_ id: Int, from old: Int, to new: Int, wireID: Int, now: Int) -> Bool {
        guard let row = outbox[id], row.movable, row.sender == old, row.expiresAt > now,
            row.state == .accepted || sabotage == .moveWithoutState
        else { return false }
        outbox[id]?.sender = new
        outbox[id]?.wireID = wireID
        outbox[id]?.dueAt = min(row.dueAt, now)
        outbox[id]?.epoch = 0
        if row.state != .accepted {
            outbox[id]?.state = .accepted
            outbox[id]?.deadline = nil
            messages[id]?.state = .accepted
        }
        messages[id]?.sender = new
        messages[id]?.wireID = wireID
        messages[id]?.moves += 1
        messages[id]?.eventCount += 1
        tell(id, "rerouted")
        touched.append(id)
        return true
    }

    /// A scheduled message comes due, over the sender that was chosen for it now.
    package mutating func promote(_ id: Int, to sender: Int, wireID: Int, now: Int) -> Bool {
        guard let row = outbox[id], row.state == .scheduled, row.dueAt <= now, row.expiresAt > now else { return false }
        outbox[id]?.state = .accepted
        outbox[id]?.sender = sender
        outbox[id]?.wireID = wireID
        messages[id]?.state = .accepted
        messages[id]?.sender = sender
        messages[id]?.wireID = wireID
        messages[id]?.eventCount += 1
        tell(id, "queued")
        touched.append(id)
        return true
    }

    /// Nobody may send it, and it is not to wait. False: it has moved on meanwhile.
    package mutating func abandon(_ id: Int, sender: Int, failure: String, now: Int) -> Bool {
        guard let row = outbox[id], row.sender == sender, row.state == .scheduled || row.state == .accepted else { return false }
        settle(id, as: .failed, failure: failure, now: now)
        return true
    }
}
