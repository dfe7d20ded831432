extension ModelDatabase {
    package struct Leased {
        package let owner: ModelOwner
        package let state: String
    }

    /// Senders that nobody holds, and what an earlier holder had prepared made claimable again. `clock` is the database's own.
    package mutating func acquire(node: Int, limit: Int, ttl: Int, clock: Int, now: Int) -> [Leased] {
        var taken: [Leased] = []
        for sender in senders.indices where taken.count < limit {
            guard senders[sender].state != "unpaired", senders[sender].state != "logged_out", senders[sender].state != "removed" else { continue }
            let isFree = leases[sender].holder == nil || leases[sender].expiresAt < clock
            guard isFree || sabotage == .leaseTakenWhileHeld && leases[sender].holder != node else { continue }
            leases[sender].holder = node
            if sabotage != .epochNotCounted || leases[sender].epoch == 0 { leases[sender].epoch += 1 }
            leases[sender].expiresAt = clock + ttl
            taken.append(Leased(owner: ModelOwner(sender: sender, epoch: leases[sender].epoch), state: senders[sender].state))
            for id in outbox.indices {
                guard let row = outbox[id], row.sender == sender, row.state == .prepared, row.claims < Self.claimLimit else { continue }
                giveBack(id)
            }
        }
        return taken
    }

    /// Those still ours.
    package mutating func renew(node: Int, owned: [ModelOwner], ttl: Int, clock: Int) -> [Leased] {
        var kept: [Leased] = []
        for owner in owned where holds(owner) && leases[owner.sender].holder == node {
            leases[owner.sender].expiresAt = clock + ttl
            leases[owner.sender].beats += 1
            kept.append(Leased(owner: owner, state: senders[owner.sender].state))
        }
        return kept
    }

    package mutating func release(node: Int, owned: [ModelOwner]) {
        for owner in owned where holds(owner) && leases[owner.sender].holder == node {
            leases[owner.sender].holder = nil
            leases[owner.sender].expiresAt = Int.min
        }
    }

    /// A person removes a sender: at once if nobody holds it, else its holder is told.
    package mutating func remove(_ sender: Int, clock: Int, now: Int) {
        guard senders[sender].state != "removed" else { return }
        senders[sender].stateSince = now
        if leases[sender].holder != nil, leases[sender].expiresAt > clock {
            senders[sender].state = "removing"
        } else {
            leases[sender].epoch += 1
            senders[sender].state = "removed"
        }
    }

    /// The holder destroyed what the linked device knew. False: the epoch is over.
    package mutating func purge(_ owner: ModelOwner, as state: String, now: Int) -> Bool {
        guard holds(owner) else { return false }
        guard senders[owner.sender].state != "removed" else { return true }
        senders[owner.sender].state = state
        senders[owner.sender].stateSince = now
        return true
    }

    /// False: the epoch is over.
    package mutating func recordState(_ owner: ModelOwner, _ state: String, now: Int) -> Bool {
        guard holds(owner) else { return false }
        guard senders[owner.sender].state != "removing", senders[owner.sender].state != "removed" else { return true }
        if senders[owner.sender].state != state {
            senders[owner.sender].state = state
            senders[owner.sender].stateSince = now
        }
        return true
    }

    /// As if the time of the lease were over.
    package mutating func expireLease(of sender: Int) { leases[sender].expiresAt = Int.min }

    /// For a model that begins where a database stands.
    package mutating func setEpoch(_ epoch: Int, of sender: Int) { leases[sender].epoch = epoch }

    mutating func giveBack(_ id: Int) {
        outbox[id]?.state = .accepted
        outbox[id]?.deadline = nil
        touched.append(id)
    }
}
