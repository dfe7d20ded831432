/// One claimed message on its way through one node.
struct Flight {
    enum Step { case begin, resolved, locked, encrypted, write, awaiting, recording, over }
    let node: Int
    let incarnation: Int
    /// As it was claimed; `attempt` counts up when the stanza is built again.
    var claim: ModelDatabase.Claimed
    let isResend: Bool
    /// Wires before this claim.
    let attempt: Int
    var connection: Int
    var step = Step.begin
    var build = 1
    var frame: Int?
    var ratchet: Int?
    /// Pre-wires that succeeded, as far as this node knows.
    var preWires = 0
    var isOpen = false
    var isProven = false
}

extension World {
    // MARK: Claiming

    func poll(_ node: Int, isTick: Bool = true) {
        if isTick { after(random.between(800, 2_500), .pollTick(node, nodes[node].incarnation)) }
        guard !nodes[node].hasClaimUnderWay else { return }
        let owned = nodes[node].sessions.compactMap { session in
            session.flatMap { $0.isReady && !$0.isAbandoned && $0.inFlight <= 4 ? $0.owner : nil }
        }
        guard !owned.isEmpty else { return }
        nodes[node].hasClaimUnderWay = true
        let time = time(of: node)
        ask(.claim(owned, deadline: time + Self.claimDeadline, now: time), of: node)
    }

    func took(_ node: Int, _ claimed: [ModelDatabase.Claimed]) {
        nodes[node].hasClaimUnderWay = false
        for claim in claimed {
            nodes[node].sessions[claim.owner.sender]?.inFlight += 1
            flights.append(
                Flight(
                    node: node, incarnation: nodes[node].incarnation, claim: claim, isResend: claim.onWireBefore, attempt: claim.attempt,
                    connection: -1))
            after(random.below(5), .flight(flights.count - 1, .begin))
        }
    }

    func mayWrite(_ index: Int) -> Bool {
        let flight = flights[index]
        return nodes[flight.node].sessions[flight.claim.owner.sender]?.owner == flight.claim.owner && isTrusted(flight.node)
    }

    private func session(of flight: Flight) -> Session? {
        guard let session = nodes[flight.node].sessions[flight.claim.owner.sender], session.owner == flight.claim.owner else { return nil }
        return session
    }

    // MARK: Steps

    func advance(_ index: Int, _ step: Flight.Step) {
        let flight = flights[index]
        let sender = flight.claim.owner.sender
        flights[index].step = step
        switch step {
        case .begin:
            guard let session = session(of: flight) else { return finish(index) }
            guard let connection = session.connection, session.isReady, !session.open.contains(flight.claim.message) else {
                return fail(index, .notReady, onWire: false)
            }
            flights[index].connection = connection
            flights[index].isOpen = true
            nodes[flight.node].sessions[sender]?.open.insert(flight.claim.message)
            after(isCacheWarm[flight.claim.recipient] ? 0 : 50 + pause(), .flight(index, .resolved))
        case .resolved:
            guard connections[flight.connection].isOpen else { return fail(index, .disconnected, onWire: false) }
            if !isCacheWarm[flight.claim.recipient] {
                if random.chance(plan.unresolved) { return fail(index, .resolveFailed([429, 503, 0][random.below(3)]), onWire: false) }
                isCacheWarm[flight.claim.recipient] = true
            }
            takeLock(index)
        case .locked:
            guard !isDatabaseDown, mayWrite(index) else { return failBeforeByte(index, .storeFailed) }
            let stored = database.ratchets[ModelDatabase.Pair(sender: sender, recipient: flight.claim.recipient), default: 0]
            let advanced = session(of: flight)?.advanced[flight.claim.recipient]?.ratchet
            flights[index].ratchet = (advanced ?? stored) + 1
            after(random.below(4), .flight(index, .encrypted))
        case .encrypted:
            guard mayWrite(index) else { return failBeforeByte(index, .preWireFailed) }
            if sabotage == .sendBeforeCommit { write(index) }
            let isLate = random.chance(plan.latePreWires)
            let isHandedOver = isLate && random.chance(500)
            let wait = isHandedOver ? random.below(8_000) : isLate ? random.between(18_000, 27_000) : nil
            ask(.preWire(flight: index, now: time(of: flight.node)), of: flight.node, in: wait)
            // The next message goes on from here while this one's commit is under way.
            advance(index)
            giveLock(index)
            if isHandedOver { end(flight.node, sender, releases: true) }
        case .write:
            guard connections[flight.connection].isOpen else { return failBeforeByte(index, .disconnected) }
            if sabotage != .sendBeforeCommit { write(index) }
            flights[index].step = .awaiting
            after(ModelDatabase.acknowledgementLimit, .acknowledgementOverdue(index, build: flight.build))
        case .awaiting, .recording, .over: break
        }
    }

    private func takeLock(_ index: Int) {
        let flight = flights[index]
        let sender = flight.claim.owner.sender
        guard let session = session(of: flight) else { return fail(index, .disconnected, onWire: false) }
        if session.lock == nil {
            nodes[flight.node].sessions[sender]?.lock = index
            after(random.below(10), .flight(index, .locked))
        } else {
            nodes[flight.node].sessions[sender]?.waiting.append(index)
        }
    }

    private func giveLock(_ index: Int) {
        let flight = flights[index]
        let sender = flight.claim.owner.sender
        guard let session = session(of: flight), session.lock == index else { return }
        nodes[flight.node].sessions[sender]?.lock = nil
        guard let next = session.waiting.first else { return }
        nodes[flight.node].sessions[sender]?.waiting.removeFirst()
        nodes[flight.node].sessions[sender]?.lock = next
        after(random.below(10), .flight(next, .locked))
    }

    private func advance(_ index: Int) {
        let flight = flights[index]
        guard let session = session(of: flight), let ratchet = flight.ratchet else { return }
        let unsettled = session.advanced[flight.claim.recipient]?.unsettled ?? 0
        nodes[flight.node].sessions[flight.claim.owner.sender]?.advanced[flight.claim.recipient] = (ratchet, unsettled + 1)
    }

    /// The write of its ratchet is durable, or has failed as far as anybody knows.
    func settle(_ index: Int) {
        let flight = flights[index]
        guard let known = session(of: flight)?.advanced[flight.claim.recipient] else { return }
        nodes[flight.node].sessions[flight.claim.owner.sender]?.advanced[flight.claim.recipient] =
            known.unsettled > 1 ? (known.ratchet, known.unsettled - 1) : nil
    }

    private func failBeforeByte(_ index: Int, _ failure: Rules.Failure) {
        giveLock(index)
        fail(index, failure, onWire: false)
    }

    /// The transaction that must come before the first byte is answered. The lease's trust is asked once more.
    func preWired(_ index: Int, _ answer: ModelDatabase.PreWire) {
        let flight = flights[index]
        switch answer {
        case .mayLeave:
            flights[index].preWires += 1
            guard mayWrite(index) else { return failBeforeByte(index, .preWireFailed) }
            if connections[flight.connection].isOpen { checkTrust(index) }
            after(random.chance(30) ? random.below(500) : 0, .flight(index, .write))
        case .lostLease:
            giveLock(index)
            abandon(flight.node, flight.claim.owner.sender)
            fail(index, .preWireFailed, onWire: false)
        case .canceled, .expired, .notPrepared, .overLimit: failBeforeByte(index, .preWireFailed)
        }
    }

    private func write(_ index: Int) {
        let flight = flights[index]
        guard connections[flight.connection].isOpen else { return }
        let wireID = sabotage == .freshIDOnResend && flight.isResend ? flight.claim.wireID + 1_000_000 * (index + 1) : flight.claim.wireID
        server.frames.append(
            ModelServer.Frame(
                connection: flight.connection, flight: index, message: flight.claim.message,
                request: database.messages[flight.claim.message]?.request ?? 0, sender: flight.claim.owner.sender, wireID: wireID,
                recipient: flight.claim.recipient))
        flights[index].frame = server.frames.count - 1
        checkByte(index)
        after(random.chance(900) ? random.below(20) : random.below(2_000), .frame(server.frames.count - 1))
    }

    // MARK: Answers

    func serverAnswered(_ frame: Int, _ code: Int) {
        let index = server.frames[frame].flight
        let flight = flights[index]
        guard flight.step == .awaiting, connections[flight.connection].isOpen, flight.frame == frame else { return }
        if code == 0 || flight.isProven { return acknowledged(index) }
        if code == 479 || code == 400, flight.build == 1 {
            // Built again under the same id, after a refusal that new device lists may cure.
            isCacheWarm[flight.claim.recipient] = false
            flights[index].build = 2
            flights[index].claim = flight.claim.rebuilt
            return after(50 + pause(), .flight(index, .resolved))
        }
        fail(index, .refused(code), onWire: true)
    }

    func acknowledgementOverdue(_ index: Int, _ build: Int) {
        let flight = flights[index]
        guard flight.step == .awaiting, flight.build == build else { return }
        if flight.isProven { return acknowledged(index) }
        fail(index, .ackTimeout, onWire: true)
        // A stream that does not answer is given up as dead.
        guard connections[flight.connection].isOpen, session(of: flight)?.connection == flight.connection else { return }
        close(flight.node, flight.claim.owner.sender)
        after(random.between(200, 3_000), .login(flight.node, flight.incarnation, flight.claim.owner))
    }

    func disconnected(_ index: Int) {
        if flights[index].isProven { acknowledged(index) } else { fail(index, .disconnected, onWire: true) }
    }

    private func acknowledged(_ index: Int) {
        flights[index].step = .recording
        ask(.acknowledge(flight: index), of: flights[index].node)
    }

    func fail(_ index: Int, _ failure: Rules.Failure, onWire: Bool) {
        let flight = flights[index]
        var isResend = flight.isResend
        if sabotage == .refusalOfResendIsProof { isResend = false }
        let outcome =
            sabotage == .timeoutIsFailure && failure == .ackTimeout
            ? Rules.Outcome.refused(failure: "server_unavailable", serverCode: nil, course: .end, finding: nil)
            : rules.outcome(failure, onWire: onWire, isResend: isResend, refusals: flight.claim.refusals, now: time(of: flight.node))
        record(index, outcome)
    }

    private func record(_ index: Int, _ outcome: Rules.Outcome) {
        let flight = flights[index]
        flights[index].step = .recording
        switch outcome {
        case .refused(let failure, let code, let course, let finding):
            ask(
                .refused(
                    flight: index,
                    ModelRefusal(
                        message: flight.claim.message, owner: flight.claim.owner, attempts: flight.attempt + flight.preWires, failure: failure,
                        serverCode: code, course: course, finding: finding)),
                of: flight.node, in: plan.latePreWires > 0 && random.chance(300) ? random.below(4_000) : nil)
        case .unknown(let retryAt): ask(.unknown(flight: index, retryAt: retryAt), of: flight.node)
        case .leaveToSweep: finish(index)
        }
    }

    func finish(_ index: Int) {
        let flight = flights[index]
        guard flight.step != .over else { return }
        flights[index].step = .over
        giveLock(index)
        guard session(of: flight) != nil else { return }
        nodes[flight.node].sessions[flight.claim.owner.sender]?.inFlight -= 1
        if flight.isOpen { nodes[flight.node].sessions[flight.claim.owner.sender]?.open.remove(flight.claim.message) }
    }

    // MARK: Receipts

    func receiptArrives(_ index: Int, _ connection: Int) {
        guard connections[connection].isOpen else { return }
        let receipt = server.receipts[index]
        for flight in flights.indices where flights[flight].step == .awaiting && flights[flight].connection == connection {
            if flights[flight].claim.wireID == receipt.wireID { flights[flight].isProven = true }
        }
        ask(.receipt(index, connection: connection), of: connections[connection].node)
    }

    // MARK: What runs by itself

    func sweep(_ node: Int) {
        after(random.between(1_000, 3_000), .sweepTick(node, nodes[node].incarnation))
        ask(.sweep, of: node)
    }
}

extension ModelDatabase.Claimed {
    /// The same claim after its first bytes have left.
    var rebuilt: ModelDatabase.Claimed {
        ModelDatabase.Claimed(
            message: message, owner: owner, wireID: wireID, attempt: attempt + 1, expiresAt: expiresAt, deadline: deadline, onWireBefore: true,
            recipient: recipient, priority: priority, isCold: isCold, refusals: refusals)
    }
}
