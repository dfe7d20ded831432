import Foundation
import Glibc
import Postgres
import Primitives
import Proof
import Simulator

/// What makes a gateway come by a failpoint, and brings the same work to its end afterwards, whatever happened there.
enum Drive: Sendable {
    case text, read, replay, batch, cancel, schedule, move, retry, refuse, silence, expire, unconfirmed
    case renew, bounce, disconnect
    case pair, purge, cron, close

    /// What the kill matrix does for each place. Nil: it belongs to no cell.
    static func toward(_ point: Failpoint) -> Drive {
        switch point {
        case .acceptBegin, .accepted, .claimBegin, .prepared, .encrypted, .preWireBegin, .onWire, .written, .acknowledged, .acknowledgeBegin, .sent,
            .receiptRead, .delivered:
            .text
        case .read: .read
        case .replayed: .replay
        case .batchAccepted: .batch
        case .cancelBegin, .canceled: .cancel
        case .promoteBegin, .promoted: .schedule
        case .moveBegin, .moved: .move
        case .retryBegin, .retryAnswered: .retry
        case .refusalBegin, .refused: .refuse
        case .unknownBegin, .unknown: .silence
        case .sweepBegin, .swept, .expired: .expire
        case .unconfirmed: .unconfirmed
        case .leaseRenewBegin, .leaseRenewed: .renew
        case .leaseAcquireBegin, .leaseAcquired, .leaseReleaseBegin, .leaseReleased: .bounce
        case .stateBegin, .stateRecorded: .disconnect
        case .codePublished, .pairedBegin, .paired, .preKeysMade, .preKeysUploaded, .preKeysRecorded: .pair
        case .purgeBegin, .purged: .purge
        case .retentionBegin, .retentionPiece, .contactsTruncated, .retentionRecorded: .cron
        case .closingMarked, .closingBegun, .keyDestroyBegin, .keyDestroyed, .erased, .closingFinishBegin, .closingFinished: .close
        }
    }

    /// Whether the gateways would wait longer than a proof can.
    var isSlow: Bool {
        switch self {
        case .move, .refuse: true
        default: false
        }
    }
}

/// One drive in one world: prepared before anything goes wrong, then carried through it.
struct DriveRun: Sendable {
    let drive: Drive
    let caller: Caller
    var world: World { caller.world }
    /// What the cell has to reckon with; filled while it goes on.
    let nonces = Nonces()
    /// The sender or account that `prepare` made for this cell alone.
    private var subject = ""
    private var liveKey = ""
    private var testKey = ""

    init(_ drive: Drive, in world: World) {
        self.drive = drive
        caller = Caller(world)
    }

    /// What must be there before the failpoint is armed.
    mutating func prepare() async throws {
        switch drive {
        case .purge: subject = try await world.takeSpareSender()
        // A node that has just begun, after the cell before this one, comes by the leases' places by itself.
        case .bounce:
            try await texts(1)
            try await world.simulator.waitForActiveSenders(world.plan.senders)
        case .close:
            let node = world.nodes[0]
            guard let account = try await node.verb(["account", "create", "Closing"])["id"] as? String else { throw ProofFailure("no account") }
            subject = account
            liveKey = try await World.makeKey(node, account, test: false)
            testKey = try await World.makeKey(node, account, test: true)
            _ = try await world.pair(key: testKey)
            let scheduled = #"{"to":"+628119990001","type":"text","text":{"body":"never"},"send_at":"\#(Self.time(in: 600))"}"#
            _ = try await Caller(world, key: testKey).call("POST", "/v1/messages", json: scheduled)
        default: break
        }
    }

    /// Does it, asking again as often as it takes.
    func go() async throws {
        switch drive {
        case .text, .renew: try await texts(3)
        case .read: try await post(world.recipient(endingIn: "0001"))
        case .replay: try await replay()
        case .batch: try await batch()
        case .cancel: try await cancel()
        case .schedule: try await post(world.anyRecipient(), more: #","send_at":"\#(Self.time(in: 1))""#)
        case .move: try await move()
        case .retry: try await post(world.recipient(endingIn: "0006"))
        case .refuse:
            try await refused(by: 503, times: 1, end: .shown)
            // A second copy's refusal proves nothing about the first.
            try await refused(by: 405, times: nil, end: .notShown(["failed", "unconfirmed"]))
        case .silence: try await silence(end: .taken, more: "")
        case .unconfirmed: try await silence(end: .unclear, more: #","at_most_once":true"#)
        case .expire: try await expire()
        case .bounce: try await bounce()
        case .disconnect: try await disconnect()
        case .pair: try await pair()
        case .purge: try await purge()
        case .cron: try await cron()
        case .close: try await close()
        }
    }

    private func post(_ number: String, end: Ledger.End = .shown, more: String = "") async throws {
        nonces.add(try await caller.post(number, end: end, more: more))
    }

    private func texts(_ count: Int) async throws {
        for _ in 0..<count { try await post(world.anyRecipient()) }
    }

    // MARK: Requests

    private func replay() async throws {
        let number = world.anyRecipient()
        let nonce = try await caller.post(number)
        nonces.add(nonce)
        let first = world.ledger.entry(nonce)?.id
        try await caller.post(number, nonce: nonce)
        guard world.ledger.entry(nonce)?.id == first else { throw ProofFailure("a repeated request got another message") }
    }

    private func batch() async throws {
        var items: [String] = []
        var batch: [(nonce: String, number: String)] = []
        for _ in 0..<5 {
            let (nonce, number) = ("nonce-\(world.next())-batch", world.anyRecipient())
            batch.append((nonce, number))
            items.append(#"{"to":"+\#(number)","type":"text","text":{"body":"\#(nonce)"},"reference":"\#(nonce)"}"#)
            world.ledger.add(Ledger.Entry(nonce: nonce, number: number, end: .shown))
            nonces.add(nonce)
        }
        let json = #"{"messages":[\#(items.joined(separator: ","))]}"#
        let answer = try await caller.call("POST", "/v1/messages/batch", json: json, idempotencyKey: batch[0].nonce)
        guard answer.isGood else { throw ProofFailure("a batch was answered with \(answer.status)") }
        // Which message became which is told by the log, as a client would ask.
        for (nonce, _) in batch {
            let found = try await caller.firstMessage(reference: nonce)
            world.ledger.change(nonce) { entry in
                entry.id = found
                entry.wasUnanswered = answer.wasUnanswered
            }
        }
    }

    private func cancel() async throws {
        let nonce = try await caller.post(world.anyRecipient(), more: #","send_at":"\#(Self.time(in: 300))""#)
        try await caller.cancel(nonce)
        nonces.add(nonce)
        try await texts(1)
    }

    // MARK: Answers of the server

    private func refused(by code: Int, times: Int?, end: Ledger.End) async throws {
        let number = world.recipient(endingIn: "1234")
        var behaviour = RecipientBehaviour()
        behaviour.refusal = Refusal(code: code, times: times)
        try world.simulator.addRecipient(number, behaviour: behaviour)
        try await post(number, end: end)
    }

    /// The server wants nothing more of one sender for the moment, so what it refuses goes to another one.
    private func move() async throws {
        var behaviour = TrafficBehaviour()
        behaviour.refusal = Refusal(code: 403, times: 1)
        guard let sender = world.simulator.phones.first?.number else { throw ProofFailure("no sender") }
        try world.simulator.setBehaviour(behaviour, sender: sender)
        for _ in 0..<6 { try await post(world.recipient(endingIn: "1234")) }
    }

    /// The server takes it, its acknowledgement is lost, and then the line breaks.
    private func silence(end: Ledger.End, more: String) async throws {
        let number = world.recipient(endingIn: "1234")
        var behaviour = RecipientBehaviour()
        behaviour.receipts = .none
        behaviour.lostAcks = 1
        try world.simulator.addRecipient(number, behaviour: behaviour)
        try await post(number, end: end, more: more)
        try await wait("the message to arrive") { world.simulator.received(number: number).contains { $0.shown > 0 } }
        if let sender = world.simulator.received(number: number).first?.sender { try? world.simulator.disconnect(sender: sender) }
    }

    /// Its time runs out while it waits; the proof moves the end of its life and leaves the clocks alone.
    private func expire() async throws {
        let nonce = try await caller.post(
            world.anyRecipient(), end: .notShown(["expired"]), more: #","send_at":"\#(Self.time(in: 120))","ttl":60"#)
        nonces.add(nonce)
        guard let id = world.ledger.entry(nonce)?.id else { return }
        try await world.expire(id)
    }

    // MARK: Processes and connections

    /// A clean end and a new start of one node after the other, until one of them has come by.
    private func bounce() async throws {
        for node in world.nodes where !world.isHit {
            node.signal(SIGTERM)
            _ = try await node.waitForDeath(timeout: .seconds(60))
            // It may die before it is ready, or right behind that.
            do { try await node.start() } catch {}
            for _ in 0..<20 where !world.isHit { try await ContinuousClock().sleep(for: .milliseconds(100)) }
            try await ContinuousClock().sleep(for: .milliseconds(200))
            await revive(node)
        }
        // It may have come by before its turn.
        for node in world.nodes { await revive(node) }
        try await texts(2)
    }

    /// Starts it if it is gone; the failpoint may be in the way of the first start.
    private func revive(_ node: GatewayProcess) async {
        for _ in 0..<5 where node.processID == nil { try? await node.start() }
    }

    private func disconnect() async throws {
        for phone in world.simulator.phones { try? world.simulator.disconnect(sender: phone.number) }
        try await texts(2)
    }

    // MARK: Senders and accounts

    private func pair() async throws {
        let sender = try await caller.pairSender()
        try await post(world.anyRecipient(), more: #","route":{"sender":"\#(sender)"}"#)
        world.giveSpareSender(sender)
    }

    private func purge() async throws {
        let answer = try await caller.call("DELETE", "/v1/senders/\(subject)")
        guard answer.isGood || answer.status == 404 else { throw ProofFailure("a removal was answered with \(answer.status)") }
        try await wait("the removal") { try await world.leftovers(ofSender: subject) == 0 }
        try await texts(1)
    }

    private func cron() async throws {
        for _ in 0..<5 {
            do {
                _ = try await world.nodes[0].verb(["cron", "hourly"])
                return try await texts(1)
            } catch is ProofFailure {
                // Killed, or without a database: the next run does it again.
                try await ContinuousClock().sleep(for: .milliseconds(200))
            }
        }
        throw ProofFailure("the hourly job did not succeed in five runs")
    }

    private func close() async throws {
        var closer = Caller(world, key: liveKey)
        closer.patience = 20
        closer.takesThrottling = true
        let answer = try await closer.call("POST", "/v1/account/close", json: #"{"confirm":"\#(subject)"}"#)
        // 401 and 410: an earlier try had begun it.
        guard answer.isGood || [401, 404, 410, 429].contains(answer.status) else {
            throw ProofFailure("a closing was answered with \(answer.status)")
        }
        try await wait("the account to be gone") { try await world.leftovers(ofAccount: subject) == 0 }
        try await texts(1)
    }

    // MARK: Waiting

    private func wait(_ what: String, for limit: Duration = .seconds(75), until isTrue: () async throws -> Bool) async throws {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: limit)
        while clock.now < end {
            if try await isTrue() { return }
            try await clock.sleep(for: .milliseconds(50))
        }
        throw ProofFailure("waited \(limit) in vain for \(what)")
    }

    private static func time(in seconds: Double) -> String {
        Date(timeIntervalSinceNow: seconds).formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
}
