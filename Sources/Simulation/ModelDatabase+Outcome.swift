extension ModelDatabase {
    /// The server took it. False: it was not open under that id any more.
    package mutating func acknowledge(_ id: Int, owner: ModelOwner, wireID: Int, now: Int) -> Bool {
        let isBlind = sabotage == .outcomeByIDOnly
        guard holds(owner) || sabotage == .noEpochInOutcome || isBlind, let row = outbox[id],
            isBlind || row.sender == owner.sender && row.wireID == wireID && row.state == .onWire
        else { return false }
        note(
            id, attempt: Attempt(number: row.attempts, sender: row.sender, epoch: row.epoch, outcome: "acknowledged", serverCode: nil),
            overwrites: true)
        settle(id, as: .sent, failure: nil, now: now)
        return true
    }

    /// It was not delivered for sure, or nothing left at all; it takes its course. What it says of the sender is recorded first.
    package mutating func refused(_ refusal: ModelRefusal, now: Int) -> Bool {
        let id = refusal.message
        let sender = refusal.owner.sender
        if let finding = refusal.finding { record(finding, of: refusal.owner, now: now) }
        let isBlind = sabotage == .outcomeByIDOnly
        guard holds(refusal.owner) || sabotage == .noEpochInOutcome || isBlind, let row = outbox[id],
            isBlind
                || row.sender == sender && (row.state == .prepared || row.state == .onWire)
                    && (row.epoch == refusal.owner.epoch || sabotage == .noEpochInOutcome)
                    && (row.attempts == refusal.attempts || sabotage == .noAttemptInRefusal)
        else { return false }
        let wasOnWire = row.state == .onWire
        let nextAt: Int? =
            switch refusal.course {
            case .end: nil
            case .retry(let at): max(at, senders[sender].pausedUntil)
            case .once(let at): attempts[id].contains { $0.sender == sender && $0.serverCode == refusal.serverCode } ? nil : at
            case .elsewhere: row.movable ? row.expiresAt : nil
            }
        if wasOnWire {
            note(
                id,
                attempt: Attempt(number: row.attempts, sender: row.sender, epoch: row.epoch, outcome: "refused", serverCode: refusal.serverCode),
                overwrites: true)
            messages[id]?.refusals += 1
        }
        let isAgain = refusal.course != .end && (row.movable || nextAt.map { $0 < row.expiresAt } ?? false)
        if refusal.course == .elsewhere, wasOnWire || !isAgain, let message = messages[id] {
            known[Pair(sender: sender, recipient: message.recipient), default: Greeting()].isRefused = true
        }
        guard isAgain else {
            settle(id, as: .failed, failure: refusal.failure, now: now)
            return true
        }
        outbox[id]?.state = .accepted
        outbox[id]?.refusals += wasOnWire ? 1 : 0
        outbox[id]?.claims = 0
        outbox[id]?.dueAt = min(nextAt ?? row.expiresAt, row.expiresAt)
        outbox[id]?.deadline = nil
        switch refusal.course {
        case .once, .elsewhere: outbox[id]?.excluded = row.excluded.filter { $0 != sender } + [sender]
        case .end, .retry: break
        }
        if wasOnWire {
            messages[id]?.state = .accepted
            messages[id]?.failure = nil
            messages[id]?.eventCount += 1
            tell(id, "retrying", failure: refusal.failure)
        }
        touched.append(id)
        return true
    }

    /// No answer came: it stays on the wire and is due again at `retryAt` with the same id.
    package mutating func unknown(_ id: Int, owner: ModelOwner, retryAt: Int) -> Bool {
        guard holds(owner), let row = outbox[id], row.sender == owner.sender, row.epoch == owner.epoch, row.state == .onWire else { return false }
        outbox[id]?.deadline = retryAt
        note(id, attempt: Attempt(number: row.attempts, sender: row.sender, epoch: row.epoch, outcome: "unknown", serverCode: nil), overwrites: false)
        return true
    }

    /// A claimed message that may not leave yet: due again at `until`, and the claim does not count.
    package mutating func postpone(_ id: Int, owner: ModelOwner, until: Int) {
        guard holds(owner), let row = outbox[id], row.sender == owner.sender, row.epoch == owner.epoch, row.state == .prepared else { return }
        outbox[id]?.claims = max(0, row.claims - 1)
        outbox[id]?.dueAt = until
        giveBack(id)
    }

    /// A device has it, or showed it. A message only rises; `read` fills in `delivered`, and either implies `sent`.
    package mutating func receipt(_ owner: ModelOwner, wireID: Int, isRead: Bool, now: Int) -> Bool {
        guard holds(owner), let id = wireIDs[WireName(sender: owner.sender, wireID: wireID)], let message = messages[id] else { return false }
        let rank = isRead ? 5 : 4
        let oldRank: Int
        switch message.state {
        case .onWire, .unconfirmed: oldRank = 2
        case .sent: oldRank = 3
        case .delivered: oldRank = 4
        case .read where sabotage == .receiptsLowerRank: oldRank = 3
        default: return false
        }
        guard rank > oldRank else { return false }
        if let row = outbox[id], row.state == .onWire {
            note(
                id, attempt: Attempt(number: row.attempts, sender: row.sender, epoch: row.epoch, outcome: "received", serverCode: nil),
                overwrites: true)
            outbox[id] = nil
        }
        messages[id]?.state = isRead ? .read : .delivered
        messages[id]?.failure = nil
        if messages[id]?.settledAt == nil { messages[id]?.settledAt = now }
        for step in oldRank + 1...rank {
            messages[id]?.eventCount += 1
            tell(id, step == 3 ? "sent" : step == 4 ? "delivered" : "read")
        }
        touched.append(id)
        return true
    }

    // MARK: Health

    /// What was learned about a sender; nothing once the epoch is over. During a pause another finding of its kind changes nothing.
    mutating func record(_ finding: ModelRefusal.Finding, of owner: ModelOwner, now: Int) {
        guard holds(owner) else { return }
        let sender = senders[owner.sender]
        switch finding {
        case .rateLimited:
            guard sender.pausedUntil <= now else { return }
            let level = Self.quietLevel(sender.pauseLevel, ended: sender.pausedUntil, quiet: 600_000, now: now)
            senders[owner.sender].pausedUntil = now + min(3_600_000, 30_000 << level)
            senders[owner.sender].pauseLevel = 1 + min(7, level)
        case .newChatRefused:
            guard sender.newChatsUntil <= now else { return }
            let level = Self.quietLevel(sender.newChatsLevel, ended: sender.newChatsUntil, quiet: 7 * 86_400_000, now: now)
            senders[owner.sender].newChatsUntil = now + min(7 * 86_400_000, 86_400_000 << level)
            senders[owner.sender].newChatsLevel = 1 + min(3, level)
        }
    }

    private static func quietLevel(_ level: Int, ended: Int, quiet: Int, now: Int) -> Int {
        if level == 0 { return 0 }
        return now <= ended ? level : max(0, level - (now - ended) / quiet)
    }
}

package struct ModelRefusal {
    package enum Course: Equatable {
        case end
        case retry(at: Int)
        case once(at: Int)
        case elsewhere
    }

    package enum Finding { case rateLimited, newChatRefused }

    package let message: Int
    package let owner: ModelOwner
    /// The wires that this verdict knows of.
    package let attempts: Int
    package let failure: String
    package let serverCode: Int?
    package let course: Course
    package let finding: Finding?

    package init(message: Int, owner: ModelOwner, attempts: Int, failure: String, serverCode: Int?, course: Course, finding: Finding?) {
        self.message = message
        self.owner = owner
        self.attempts = attempts
        self.failure = failure
        self.serverCode = serverCode
        self.course = course
        self.finding = finding
    }
}
