/// One transaction that a node asked for: executed at one moment, answered at a later one, if both sides live.
struct Call {
    enum Request {
        case renew([ModelOwner], startedAt: Int), acquire, release([ModelOwner]), recordState(ModelOwner, String), purge(ModelOwner), remove(Int)
        case claim([ModelOwner], deadline: Int, now: Int), preWire(flight: Int, now: Int)
        case acknowledge(flight: Int), refused(flight: Int, ModelRefusal), unknown(flight: Int, retryAt: Int)
        case receipt(Int, connection: Int), sweep, move(Int, from: Int, to: Int), promote(Int, to: Int), abandon(Int, sender: Int, String)
        case accept(client: Int, ModelDatabase.Accepting), cancel(client: Int, message: Int)
    }

    enum Answer {
        /// Nothing happened. Trying again cannot do it twice.
        case transient
        /// The connection broke while committing: it may or may not have happened.
        case unknown
        case done
        case leased([ModelDatabase.Leased])
        case claimed([ModelDatabase.Claimed])
        case preWire(ModelDatabase.PreWire)
        case accepted(ModelDatabase.Accepted)
        case state(ModelState?)
        case flag(Bool)
    }

    let node: Int
    let incarnation: Int
    let request: Request
    var answer = Answer.transient
}

extension World {
    /// - Parameter wait: until the database gets to it; nil: as it comes.
    func ask(_ request: Call.Request, of node: Int, in wait: Int? = nil) {
        calls.append(Call(node: node, incarnation: nodes[node].incarnation, request: request))
        after(wait ?? (random.chance(plan.slowCalls) ? random.between(5_000, 45_000) : pause()), .execute(calls.count - 1))
    }

    /// The database's turn. A call outlives the process that made it.
    func execute(_ index: Int) {
        let call = calls[index]
        defer { after(pause(), .answered(index)) }
        if isDatabaseDown { return }
        if random.chance(plan.failingCalls) {
            if random.chance(500) { return }
            _ = perform(call)
            calls[index].answer = .unknown
            return
        }
        calls[index].answer = perform(call)
    }

    private func perform(_ call: Call) -> Call.Answer {
        let time = time(of: call.node)
        switch call.request {
        case .renew(let owners, _): return .leased(database.renew(node: holder(call), owned: owners, ttl: Self.leaseTTL, clock: now))
        case .acquire:
            let taken = database.acquire(node: holder(call), limit: 100, ttl: Self.leaseTTL, clock: now, now: time)
            for leased in taken { checker.took(leased.owner) }
            return .leased(taken)
        case .release(let owners):
            database.release(node: holder(call), owned: owners)
            return .done
        case .recordState(let owner, let state): return .flag(database.recordState(owner, state, now: time))
        case .purge(let owner): return .flag(database.purge(owner, as: "removed", now: time))
        case .remove(let sender):
            database.remove(sender, clock: now, now: time)
            return .done
        case .claim(let owners, let deadline, let moment):
            let open = database.outbox.map { $0?.state == .prepared ? $0 : nil }
            let claimed = database.claim(limit: 256, perSender: 4, owned: owners, now: moment, deadline: deadline)
            for claim in claimed where !claim.onWireBefore && open[claim.message] != nil {
                checker.fail("claim", "message \(claim.message) claimed twice")
            }
            return .claimed(claimed)
        case .preWire(let flight, let moment):
            let claim = flights[flight].claim
            let answer = database.preWire(claim, ratchet: flights[flight].ratchet, now: moment, chance: Double(random.below(1_000)) / 1_000)
            if answer == .mayLeave { checkPreWire(flight, moment) }
            return .preWire(answer)
        case .acknowledge(let flight):
            let claim = flights[flight].claim
            return fenced(claim.owner, database.acknowledge(claim.message, owner: claim.owner, wireID: claim.wireID, now: time))
        case .refused(_, let refusal): return fenced(refusal.owner, database.refused(refusal, now: time))
        case .unknown(let flight, let retryAt):
            let claim = flights[flight].claim
            let changed = database.unknown(claim.message, owner: claim.owner, retryAt: retryAt)
            if sabotage == .resendElsewhere { database.resendElsewhere(claim.message) }
            return fenced(claim.owner, changed)
        case .receipt(let receipt, let connection):
            let receipt = server.receipts[receipt]
            let owner = connections[connection].owner
            return fenced(owner, database.receipt(owner, wireID: receipt.wireID, isRead: receipt.isRead, now: time))
        case .sweep:
            _ = database.sweep(now: time)
            return .done
        case .move(let id, let old, let new):
            return .flag(database.move(id, from: old, to: new, wireID: Self.wireID(id, sender: new), now: time))
        case .promote(let id, let sender):
            return .flag(database.promote(id, to: sender, wireID: Self.wireID(id, sender: sender), now: time))
        case .abandon(let id, let sender, let failure): return .flag(database.abandon(id, sender: sender, failure: failure, now: time))
        case .accept(_, let wanted): return .accepted(database.accept(wanted))
        case .cancel(_, let message): return .state(database.cancel(message, now: time))
        }
    }

    /// What was written on behalf of a sender was written under the epoch that holds.
    private func fenced(_ owner: ModelOwner, _ changed: Bool) -> Call.Answer {
        if changed { checkFence(owner) }
        return .flag(changed)
    }

    /// A node's name is that of one start of one process.
    private func holder(_ call: Call) -> Int { call.node * 10_000 + call.incarnation }

    /// As in `WireID.make`: the same for the same message and sender, never the same for others.
    static func wireID(_ message: Int, sender: Int) -> Int { message * 64 + sender }

    /// The node's turn.
    func answered(_ index: Int) {
        let call = calls[index]
        switch (call.request, call.answer) {
        case (.renew(let held, let startedAt), .leased(let kept)): renewed(call.node, held, startedAt: startedAt, kept: kept)
        case (.acquire, .leased(let taken)): acquired(call.node, taken)
        case (.renew, _), (.acquire, _):
            if !isTrusted(call.node) { abandonAll(call.node) }
            nextLeaseTick(call.node)
        case (.recordState(let owner, let state), .flag(let isHeld)):
            if !isHeld {
                abandonIfOurs(call.node, owner)
            } else if state == "logged_out", nodes[call.node].sessions[owner.sender]?.owner == owner {
                end(call.node, owner.sender, releases: true)
            }
        case (.recordState(let owner, let state), _):
            if state == "logged_out" { ask(.recordState(owner, state), of: call.node) }
        case (.purge(let owner), .flag): if nodes[call.node].sessions[owner.sender]?.owner == owner { end(call.node, owner.sender, releases: true) }
        case (.purge(let owner), _): ask(.purge(owner), of: call.node)
        case (.remove(let sender), .transient): ask(.remove(sender), of: call.node)
        case (.claim, .claimed(let claimed)): took(call.node, claimed)
        case (.claim, _): nodes[call.node].hasClaimUnderWay = false
        case (.preWire(let flight, _), .preWire(let answer)):
            settle(flight)
            preWired(flight, answer)
        case (.preWire(let flight, _), _):
            settle(flight)
            fail(flight, .preWireFailed, onWire: false)
        case (.acknowledge(let flight), .transient), (.refused(let flight, _), .transient), (.unknown(let flight, _), .transient):
            // Tried again while the lease can be trusted.
            if mayWrite(flight) { ask(call.request, of: call.node) } else { finish(flight) }
        case (.acknowledge(let flight), _), (.refused(let flight, _), _), (.unknown(let flight, _), _): finish(flight)
        case (.receipt(let receipt, let connection), .transient):
            if connections[connection].isOpen, isTrusted(call.node) { ask(.receipt(receipt, connection: connection), of: call.node) }
        case (.receipt(let receipt, let connection), .flag):
            if connections[connection].isOpen { after(pause(), .receiptTaken(receipt)) }
        case (.accept(let client, _), let answer): clientAnswered(client, answer)
        case (.cancel(let client, let message), .state(let state)): cancelAnswered(client, message, state)
        default: break
        }
    }

    private func abandonIfOurs(_ node: Int, _ owner: ModelOwner) {
        if nodes[node].sessions[owner.sender]?.owner == owner { abandon(node, owner.sender) }
    }
}

extension ModelDatabase {
    /// Only for the sabotage of that name: what left over one sender is sent again over another.
    mutating func resendElsewhere(_ id: Int) {
        guard let row = outbox[id], row.state == .onWire, senders.count > 1 else { return }
        let other = (row.sender + 1) % senders.count
        outbox[id]?.sender = other
        outbox[id]?.wireID = World.wireID(id, sender: other)
        outbox[id]?.epoch = 0
        messages[id]?.sender = other
        wireIDs[WireName(sender: other, wireID: World.wireID(id, sender: other))] = id
        touched.append(id)
    }
}
