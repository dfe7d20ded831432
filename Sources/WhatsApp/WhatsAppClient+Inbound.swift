import WhatsAppWire

/// Work that a stanza starts and that must not hold up reading.
enum Job: Sendable {
    case announcePairing
    case showCodes(references: [[UInt8]])
    case finishPairing(Node)
    case logIn
    case takeReceipts
}

/// What arrives: at once what is quick, through the inbox what takes time.
extension WhatsAppClient {
    func dispatch(_ node: Node) -> Job? {
        switch InboundStanza(node, own: credentials) {
        case .answer(let id): waits.resolve(Self.requestKey + id, .answer(node))
        case .messageAck(let id):
            if !waits.resolve(Self.ackKey + id, .answer(node)) { logger.debug("acknowledgement nobody waits for") }
        case .success:
            guard connection?.hasLoggedIn == false else { return nil }
            connection?.hasLoggedIn = true
            adoptLID(from: node)
            return .logIn
        case .end(let reason): end(reason)
        case .pairDevice: return pairDevice(node)
        case .pairSuccess:
            guard connection?.pairing != nil else { return nil }
            return .finishPairing(node)
        case .ping:
            write(Node("iq", ["to": node.attributes["from"] ?? .jid(.server), "type": "result", "id": node.attributes["id"]]))
        case .receipt: return queue(receipt: node)
        case .notification, .peerMessage:
            if case .dropped = connection?.inbox?.yield(node) { logger.warning("stanza dropped, too many at once") }
        case .drop: acknowledge(node)
        case .ignore: break
        case .passkeyRequest:
            acknowledge(node)
            end(.passkeyRequired)
        }
        return nil
    }

    func perform(_ job: Job) async {
        switch job {
        case .announcePairing: await report(.pairing)
        case .showCodes(let references): await showCodes(references)
        case .finishPairing(let node): await finishPairing(node)
        case .logIn: await logIn()
        case .takeReceipts: await takeReceipts()
        }
    }

    /// Handles the inbox one after another, since peer messages depend on their order.
    func work(through inbox: AsyncStream<Node>) async {
        await withDiscardingTaskGroup { group in
            for await node in inbox {
                switch node.tag {
                // A refill waits for the server's answer; the rest of the inbox does not wait with it.
                case "notification" where node.child("count") != nil: group.addTask { await self.take(notification: node) }
                case "notification": await take(notification: node)
                default: await take(peerMessage: node)
                }
            }
        }
    }

    private func adoptLID(from node: Node) {
        guard let lid = node.jid("lid"), let known = credentials?.lid, lid.server == .lid || lid.server == .hostedLID else { return }
        if lid.user != known.user { logger.warning("the server names another LID than the stored one") }
    }
}
