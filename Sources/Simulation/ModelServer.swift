/// WhatsApp's side: one stream per linked device, what it took, and the recipients' devices behind it.
struct ModelServer {
    /// One stanza on its way or past it. Kept for ever: it is what the checker knows for sure.
    struct Frame {
        enum Fate { case underWay, dropped, refused, taken, repeated }
        let connection: Int
        let flight: Int
        let message: Int
        let request: Int
        let sender: Int
        let wireID: Int
        let recipient: Int
        var fate = Fate.underWay
    }

    struct Receipt {
        let sender: Int
        let wireID: Int
        let isRead: Bool
        var isTaken = false
    }

    /// The connection that each sender's device has now.
    var streams: [Int?]
    var isUnlinked: [Bool]
    var frames: [Frame] = []
    /// Ids that were taken.
    var taken: Set<ModelDatabase.WireName> = []
    /// Ids that a recipient has shown.
    var shown: Set<ModelDatabase.WireName> = []
    var receipts: [Receipt] = []
    var copiesUnderWay = 0

    init(senders: Int) {
        streams = Array(repeating: nil, count: senders)
        isUnlinked = Array(repeating: false, count: senders)
    }
}

/// A client's request and what came of it.
struct Client {
    var tries = 0
    var message: Int?
    var isOver = false
    /// `202` was answered.
    var isAccepted = false
    /// A cancel was answered with `200`.
    var isCanceled = false
    /// How often its text was shown, and over which senders.
    var shown = 0
}

extension World {
    // MARK: Streams

    func serverLogin(_ index: Int) {
        let sender = connections[index].owner.sender
        guard !server.isUnlinked[sender] else { return after(pause(), .closed(index)) }
        if let older = server.streams[sender] { after(pause(), .closed(older)) }
        server.streams[sender] = index
        after(random.below(300), .loggedIn(index))
        for receipt in server.receipts.indices where server.receipts[receipt].sender == sender && !server.receipts[receipt].isTaken {
            after(300 + pause(), .receiptAtNode(receipt, connection: index))
        }
    }

    // MARK: Stanzas

    func frameArrives(_ index: Int) {
        let frame = server.frames[index]
        guard server.streams[frame.sender] == frame.connection else {
            server.frames[index].fate = .dropped
            return
        }
        let name = ModelDatabase.WireName(sender: frame.sender, wireID: frame.wireID)
        var code = 0
        if server.taken.contains(name) {
            server.frames[index].fate = .repeated
            switch plan.duplicates {
            case .drops: break
            case .forwards: forward(index)
            case .refuses: code = 406
            }
        } else if random.chance(plan.refusals) {
            server.frames[index].fate = .refused
            code = [463, 403, 429, 479, 503, 400][random.below(6)]
        } else {
            server.frames[index].fate = .taken
            server.taken.insert(name)
            forward(index)
        }
        guard !random.chance(plan.acksLost) else { return }
        if random.chance(plan.acksLate) { return after(75_000 + random.below(15_000), .answerOfServer(frame: index, code: code)) }
        after(pause(), .answerOfServer(frame: index, code: code))
        if random.chance(plan.acksDoubled) { after(pause(), .answerOfServer(frame: index, code: code)) }
    }

    private func forward(_ index: Int) {
        server.copiesUnderWay += 1
        after(pause(), .copy(index))
    }

    // MARK: Recipients

    /// De-duplicates by (sender, id), shows, and answers with receipts.
    func copyArrives(_ index: Int) {
        server.copiesUnderWay -= 1
        let frame = server.frames[index]
        let name = ModelDatabase.WireName(sender: frame.sender, wireID: frame.wireID)
        if server.shown.insert(name).inserted {
            clients[frame.request].shown += 1
            checkShown(frame)
        }
        guard random.chance(900) else { return }
        answer(frame, isRead: false, in: pause())
        if random.chance(100) { answer(frame, isRead: false, in: pause()) }
        if random.chance(500) { answer(frame, isRead: true, in: pause()) }
    }

    private func answer(_ frame: ModelServer.Frame, isRead: Bool, in delay: Int) {
        server.receipts.append(ModelServer.Receipt(sender: frame.sender, wireID: frame.wireID, isRead: isRead))
        after(delay, .receiptAtServer(server.receipts.count - 1))
    }

    func receiptAtServer(_ index: Int) {
        guard let stream = server.streams[server.receipts[index].sender] else { return }
        after(pause(), .receiptAtNode(index, connection: stream))
    }
}
