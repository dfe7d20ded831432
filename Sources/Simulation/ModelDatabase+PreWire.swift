package import Domain

extension ModelDatabase {
    package enum PreWire: Equatable {
        case mayLeave
        case lostLease, canceled, expired, notPrepared
        /// Paused, or a limit is reached: it is due again when that ends.
        case overLimit
    }

    /// The ratchet's step, the debit of limits and `on_wire` together; when it says `mayLeave`, the bytes may.
    /// - Parameter chance: for the jitter of the gap that follows.
    package mutating func preWire(_ claim: Claimed, ratchet: Int?, now: Int, chance: Double = 0) -> PreWire {
        if sabotage == .noCancelInPreWire, messages[claim.message]?.state == .canceled { return .mayLeave }
        // A resend is not held up by limits: its bytes may have left already.
        let isLimited = !limits.isUnlimited && !claim.onWireBefore
        if isLimited, let until = wait(for: claim, now: now) {
            postpone(claim.message, owner: claim.owner, until: until)
            return .overLimit
        }
        guard isPrepared(claim, now: now) else { return refusal(claim, now: now) }
        if isLimited, sabotage != .usageNotDebited {
            let moment = ModelTime.date(now)
            usage[claim.owner.sender].add(cold: claim.isCold ? 1 : 0, at: moment)
            let pause = limits.pause(isCold: claim.isCold, chance: chance)
            if pause > 0 {
                usage[claim.owner.sender].nextAt = max(usage[claim.owner.sender].nextAt, moment.addingTimeInterval(Double(pause) / 1_000))
            }
        }
        let pair = Pair(sender: claim.owner.sender, recipient: claim.recipient)
        known[pair, default: Greeting()].hasWritten = true
        if let row = outbox[claim.message] { wireIDs[WireName(sender: row.sender, wireID: row.wireID)] = claim.message }
        outbox[claim.message]?.state = .onWire
        outbox[claim.message]?.attempts += 1
        outbox[claim.message]?.claims = 0
        outbox[claim.message]?.deadline = now + Self.acknowledgementLimit
        messages[claim.message]?.state = .onWire
        messages[claim.message]?.attempts = outbox[claim.message]?.attempts ?? 0
        if !claim.onWireBefore {
            messages[claim.message]?.eventCount += 1
            tell(claim.message, "sending")
        }
        // A commit that comes late leaves what is newer alone.
        if let ratchet, sabotage != .ratchetNotStored, ratchet > ratchets[pair, default: 0] || sabotage == .ratchetGoesBack {
            ratchets[pair] = ratchet
        }
        touched.append(claim.message)
        return .mayLeave
    }

    private func isPrepared(_ claim: Claimed, now: Int) -> Bool {
        let isFenced = sabotage != .noEpochInPreWire
        guard holds(claim.owner) || !isFenced, let row = outbox[claim.message] else { return false }
        return row.sender == claim.owner.sender && row.state == (claim.onWireBefore ? .onWire : .prepared)
            && (row.epoch == claim.owner.epoch || !isFenced) && row.attempts == claim.attempt
            && (row.expiresAt > now || sabotage == .noExpiryInPreWire)
            && (row.state == .prepared || (!row.atMostOnce || sabotage == .atMostOnceIgnored) && row.attempts < Self.wireLimit)
            && senders[claim.owner.sender].pausedUntil <= now
    }

    /// Until when limits and health hold it back; nil: they do not.
    private func wait(for claim: Claimed, now: Int) -> Int? {
        let sender = senders[claim.owner.sender]
        if sender.pausedUntil > now { return sender.pausedUntil }
        if claim.isCold, sender.newChatsUntil > now { return sender.newChatsUntil }
        let verdict = LimitCheck.verdict(
            limits, usage[claim.owner.sender], pairedAt: nil, isCold: claim.isCold, priority: Priority.allCases[claim.priority], zone: nil,
            at: ModelTime.date(now))
        return verdict.limitedBy == nil ? nil : ModelTime.moment(verdict.allowedAt)
    }

    private mutating func refusal(_ claim: Claimed, now: Int) -> PreWire {
        guard let message = messages[claim.message] else { return .notPrepared }
        if !holds(claim.owner) { return .lostLease }
        switch message.state {
        case .canceled: return .canceled
        case .expired: return .expired
        default: break
        }
        if message.expiresAt <= now { return .expired }
        let pause = senders[claim.owner.sender].pausedUntil
        guard pause > now else { return .notPrepared }
        postpone(claim.message, owner: claim.owner, until: pause)
        return .overLimit
    }
}
