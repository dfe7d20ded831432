extension ModelDatabase {
    /// Ends or gives back what is overdue, whoever left it. How many rows it touched.
    package mutating func sweep(now: Int) -> Int {
        var count = 0
        if sabotage == .noSweep { return 0 }
        for id in outbox.indices {
            guard let row = outbox[id] else { continue }
            // A movable message of which nothing has left gets another sender, or fails there.
            let isRemoved =
                senders[row.sender].state == "removed" && !(row.movable && row.state != .hold && row.state.rawValue <= ModelState.prepared.rawValue)
            let isSenderGone = senders[row.sender].state == "removed"
            // Unlinked by WhatsApp, and the time to log in again is over: nobody can write it again.
            let isUnlinked =
                senders[row.sender].state == "logged_out" && senders[row.sender].stateSince <= now - Self.loggedOutGrace && row.state == .onWire
            let isOverdue = (row.deadline ?? Int.max) <= now
            let isExpired = row.expiresAt <= now
            if sabotage == .sweepReturnsOnWire, row.state == .onWire, isOverdue {
                outbox[id]?.refusals += 1
                messages[id]?.refusals += 1
                messages[id]?.state = .accepted
                giveBack(id)
                continue
            }
            // Its owner has renewed the lease twice since: late, and no strike.
            let ownerLives = leases[row.sender].epoch == row.epoch && leases[row.sender].beats >= row.beat + 2
            let isOver =
                switch row.state {
                case .scheduled, .hold, .accepted: isExpired
                case .prepared: isOverdue && (row.claims >= Self.claimLimit && !ownerLives || isExpired)
                default: isOverdue && (row.attempts >= Self.wireLimit || isExpired || row.atMostOnce)
                }
            if isOver || isRemoved || isUnlinked {
                let state: ModelState = row.state == .onWire ? .unconfirmed : isExpired ? .expired : .failed
                let failure: String? =
                    if isSenderGone, row.state == .onWire || !isExpired {
                        "sender_removed"
                    } else if row.state == .onWire {
                        "no_acknowledgement"
                    } else {
                        isExpired ? nil : "poison"
                    }
                settle(id, as: state, failure: failure, now: now)
                count += 1
            } else if row.state == .prepared, isOverdue, !isExpired {
                if ownerLives { outbox[id]?.claims -= 1 }
                giveBack(id)
                count += 1
            }
        }
        return count
    }
}
