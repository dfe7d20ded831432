/// One process: what it believes, on its own clocks. Its monotonic clock is the world's; its wall clock may be wrong.
struct ModelNode {
    var incarnation = 0
    var isUp = false
    var isAsleep = false
    /// What reached it while it slept.
    var stash: [World.Happening] = []
    /// Added to the true time; what it gives every verb as `now`.
    var clockError = 0
    var trustedUntil = Int.min
    var lastRenewal = Int.min / 2
    var sessions: [Session?]
    var hasClaimUnderWay = false

    init(senders: Int) { sessions = Array(repeating: nil, count: senders) }

    mutating func forgetEverything() {
        isUp = true
        isAsleep = false
        stash = []
        incarnation += 1
        trustedUntil = Int.min
        lastRenewal = Int.min / 2
        sessions = sessions.map { _ in nil }
        hasClaimUnderWay = false
    }
}

/// A held sender.
struct Session {
    let owner: ModelOwner
    var connection: Int?
    var isReady = false
    var isAbandoned = false
    var isRemoving = false
    /// The flight that advances a ratchet; one at a time.
    var lock: Int?
    var waiting: [Int] = []
    /// Ratchets, by recipient, that are ahead of the database because their writes are on the way, and how many writes that are.
    var advanced: [Int: (ratchet: Int, unsettled: Int)] = [:]
    /// Messages whose answer is awaited or that are being prepared.
    var open: Set<Int> = []
    var inFlight = 0
}

/// One login of one device; a new one for every attempt.
struct Connection {
    let node: Int
    let incarnation: Int
    let owner: ModelOwner
    var isOpen = true
}

extension World {
    // MARK: Life and death

    func start(_ node: Int) {
        guard !nodes[node].isUp else { return }
        nodes[node].forgetEverything()
        let incarnation = nodes[node].incarnation
        after(random.below(200), .leaseTick(node, incarnation))
        after(500 + random.below(1_000), .pollTick(node, incarnation))
        after(700 + random.below(1_000), .sweepTick(node, incarnation))
        after(900 + random.below(1_000), .moveTick(node, incarnation))
    }

    func crash(_ node: Int, for time: Int) {
        guard nodes[node].isUp else { return }
        note("node \(node) dies")
        nodes[node].isUp = false
        nodes[node].stash = []
        after(time, .restart(node))
    }

    func sleep(_ node: Int, for time: Int) {
        guard nodes[node].isUp, !nodes[node].isAsleep else { return }
        note("node \(node) stands still for \(time)")
        nodes[node].isAsleep = true
        after(time, .wake(node))
    }

    func wake(_ node: Int) {
        guard nodes[node].isUp, nodes[node].isAsleep else { return }
        nodes[node].isAsleep = false
        for happening in nodes[node].stash { after(random.below(3), happening) }
        nodes[node].stash = []
    }

    func time(of node: Int) -> Int { now + nodes[node].clockError }

    func isTrusted(_ node: Int) -> Bool { now < nodes[node].trustedUntil || sabotage == .trustIgnored }

    func strike(_ fault: Plan.Fault) {
        switch fault {
        case .crash(let node, let time): crash(node, for: time)
        case .pause(let node, let time): sleep(node, for: time)
        case .jump(let node, let time): nodes[node].clockError = time
        case .databaseDown(let time):
            isDatabaseDown = true
            after(time, .databaseUp)
        case .drop(let sender):
            guard let stream = server.streams[sender] else { return }
            server.streams[sender] = nil
            after(random.chance(300) ? random.below(20_000) : pause(), .closed(stream))
        case .remove(let sender): ask(.remove(sender), of: random.below(nodes.count))
        case .logOut(let sender):
            server.isUnlinked[sender] = true
            guard let stream = server.streams[sender] else { return }
            server.streams[sender] = nil
            after(pause(), .closed(stream))
        case .loseCache: for recipient in isCacheWarm.indices { isCacheWarm[recipient] = false }
        case .release(let node):
            guard nodes[node].isUp, !nodes[node].isAsleep else { return }
            for sender in nodes[node].sessions.indices { end(node, sender, releases: true) }
        }
    }

    // MARK: Leases

    func keepLeases(_ node: Int) {
        let held = nodes[node].sessions.compactMap { $0?.isAbandoned == false ? $0?.owner : nil }
        if held.isEmpty || now - nodes[node].lastRenewal >= 10_000 {
            ask(.renew(held, startedAt: now), of: node)
        } else {
            ask(.acquire, of: node)
        }
    }

    func nextLeaseTick(_ node: Int) { after(random.between(1_000, 3_000), .leaseTick(node, nodes[node].incarnation)) }

    func renewed(_ node: Int, _ held: [ModelOwner], startedAt: Int, kept: [ModelDatabase.Leased]) {
        nodes[node].lastRenewal = startedAt
        nodes[node].trustedUntil = startedAt + Self.trust
        for owner in held {
            guard let session = nodes[node].sessions[owner.sender], session.owner == owner else { continue }
            guard let leased = kept.first(where: { $0.owner == owner }) else {
                abandon(node, owner.sender)
                continue
            }
            if leased.state == "removing", !session.isRemoving {
                nodes[node].sessions[owner.sender]?.isRemoving = true
                close(node, owner.sender)
                ask(.purge(owner), of: node)
            }
        }
        ask(.acquire, of: node)
    }

    func acquired(_ node: Int, _ taken: [ModelDatabase.Leased]) {
        var early: [ModelOwner] = []
        for leased in taken {
            guard nodes[node].sessions[leased.owner.sender] == nil else {
                early.append(leased.owner)
                continue
            }
            nodes[node].sessions[leased.owner.sender] = Session(owner: leased.owner, isRemoving: leased.state == "removing")
            if leased.state == "removing" {
                ask(.purge(leased.owner), of: node)
            } else if leased.state != "parked" {
                after(random.below(1_500), .login(node, nodes[node].incarnation, leased.owner))
            }
        }
        if !early.isEmpty { ask(.release(early), of: node) }
        nextLeaseTick(node)
    }

    /// The lease is lost: from here on nothing leaves.
    func abandon(_ node: Int, _ sender: Int) {
        guard nodes[node].sessions[sender] != nil else { return }
        note("node \(node) abandons sender \(sender)")
        nodes[node].sessions[sender]?.isAbandoned = true
        close(node, sender)
        nodes[node].sessions[sender] = nil
    }

    func abandonAll(_ node: Int) {
        for sender in nodes[node].sessions.indices { abandon(node, sender) }
    }

    /// The session is over by itself; the lease goes back.
    func end(_ node: Int, _ sender: Int, releases: Bool) {
        guard let session = nodes[node].sessions[sender] else { return }
        close(node, sender)
        nodes[node].sessions[sender] = nil
        if releases { ask(.release([session.owner]), of: node) }
    }

    // MARK: Connections

    func logIn(_ node: Int, _ owner: ModelOwner) {
        guard let session = nodes[node].sessions[owner.sender], session.owner == owner, session.connection == nil, !session.isRemoving else { return }
        // The credentials are read under the lease's trust.
        guard isTrusted(node) else { return after(2_000, .login(node, nodes[node].incarnation, owner)) }
        connections.append(Connection(node: node, incarnation: nodes[node].incarnation, owner: owner))
        nodes[node].sessions[owner.sender]?.connection = connections.count - 1
        after(random.below(200), .serverLogin(connections.count - 1))
    }

    func loggedIn(_ index: Int) {
        let connection = connections[index]
        guard connection.isOpen, nodes[connection.node].sessions[connection.owner.sender]?.connection == index else { return }
        nodes[connection.node].sessions[connection.owner.sender]?.isReady = true
        ask(.recordState(connection.owner, "ready"), of: connection.node)
        poll(connection.node, isTick: false)
    }

    /// The stream ended on the server's side.
    func closed(_ index: Int) {
        let connection = connections[index]
        guard connection.isOpen else { return }
        let sender = connection.owner.sender
        guard nodes[connection.node].sessions[sender]?.connection == index else {
            connections[index].isOpen = false
            return
        }
        close(connection.node, sender)
        if server.isUnlinked[sender] {
            ask(.recordState(connection.owner, "logged_out"), of: connection.node)
            return
        }
        ask(.recordState(connection.owner, "disconnected"), of: connection.node)
        after(random.between(200, 3_000), .login(connection.node, connection.incarnation, connection.owner))
    }

    /// From this node's side: what waits for an answer has none.
    func close(_ node: Int, _ sender: Int) {
        guard let index = nodes[node].sessions[sender]?.connection else { return }
        connections[index].isOpen = false
        nodes[node].sessions[sender]?.connection = nil
        nodes[node].sessions[sender]?.isReady = false
        for flight in flights.indices where flights[flight].connection == index && flights[flight].step == .awaiting {
            disconnected(flight)
        }
    }
}
