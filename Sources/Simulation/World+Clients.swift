extension World {
    /// A client sends its request, and sends it again with the same key for as long as it has no answer.
    func clientAsks(_ index: Int) {
        guard !clients[index].isOver else { return }
        clients[index].tries += 1
        guard clients[index].tries <= 8 else { return clients[index].isOver = true }
        after(random.between(3_000, 8_000), .client(index))
        let node = random.below(nodes.count)
        guard nodes[node].isUp, !nodes[node].isAsleep, !isDatabaseDown else { return }
        let request = plan.requests[index]
        let time = time(of: node)
        guard request.expiresAt > time else { return clients[index].isOver = true }
        guard let sender = rules.route(database, index, excluded: [], now: time) else {
            clients[index].isOver = true
            return
        }
        let id = database.makeID()
        let sendAt = request.sendAt.flatMap { $0 > time ? $0 : nil }
        ask(
            .accept(
                client: index,
                ModelDatabase.Accepting(
                    message: id, request: index, account: request.account, sender: sender, wireID: Self.wireID(id, sender: sender),
                    recipient: request.recipient, priority: request.priority, createdAt: time, sendAt: sendAt, expiresAt: request.expiresAt,
                    atMostOnce: request.atMostOnce, movable: request.sender == nil, failFast: request.failFast, key: index, fingerprint: index)),
            of: node)
    }

    func clientAnswered(_ index: Int, _ answer: Call.Answer) {
        guard case .accepted(let accepted) = answer, !clients[index].isOver else { return }
        switch accepted {
        case .stored(let id), .repeated(let id):
            clients[index].isOver = true
            clients[index].isAccepted = true
            clients[index].message = id
            if let wait = plan.requests[index].cancelAfter { after(wait, .cancel(index)) }
            let node = random.below(nodes.count)
            if nodes[node].isUp, !nodes[node].isAsleep { poll(node, isTick: false) }
        case .keyReused: checker.fail("I2", "request \(index) is taken for another one")
        }
    }

    func clientCancels(_ index: Int) {
        let node = random.below(nodes.count)
        guard let id = clients[index].message, nodes[node].isUp, !nodes[node].isAsleep else { return }
        ask(.cancel(client: index, message: id), of: node)
    }

    func cancelAnswered(_ index: Int, _ message: Int, _ state: ModelState?) {
        guard state == .canceled else { return }
        clients[index].isCanceled = true
        if clients[index].shown > 0 { checker.fail("cancel", "request \(index) was shown before its cancel was confirmed") }
    }

    /// Scheduled messages that come due, and those whose sender has stopped, get a sender that may send them; what can go nowhere ends.
    func moveMessages(_ node: Int) {
        after(random.between(1_500, 4_000), .moveTick(node, nodes[node].incarnation))
        guard !isDatabaseDown else { return }
        let time = time(of: node)
        for id in database.outbox.indices {
            guard let row = database.outbox[id], let message = database.messages[id], row.expiresAt > time else { continue }
            if row.state == .scheduled, row.dueAt <= time {
                if let sender = rules.route(database, message.request, excluded: row.excluded, now: time) {
                    ask(.promote(id, to: sender), of: node)
                } else {
                    ask(.abandon(id, sender: row.sender, "sender_unavailable"), of: node)
                }
            } else if row.movable, row.state == .accepted || sabotage == .moveWithoutState, rules.hasStopped(database, row, now: time) {
                let other = rules.route(database, message.request, excluded: row.excluded + [row.sender], now: time)
                if let other, rules.maySend(database, other) {
                    ask(.move(id, from: row.sender, to: other), of: node)
                } else if other == nil, row.excluded.contains(row.sender) || database.senders[row.sender].state == "removed" {
                    ask(.abandon(id, sender: row.sender, row.excluded.contains(row.sender) ? "new_chat_limit" : "sender_removed"), of: node)
                }
            }
        }
    }
}
