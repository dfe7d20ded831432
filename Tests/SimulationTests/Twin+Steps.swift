@testable import Domain
import Foundation
import Simulation
import TestSupport

extension Twin {
    /// One random verb on both sides.
    mutating func step() async throws {
        let dice = random.below(100)
        let pause = (dice < 60 ? 1 : dice < 90 ? 700 : dice < 97 ? 21_000 : 76_000) + random.below(1 + min(dice, 20))
        time += pause
        test.clock.advance(by: Double(pause) / 1_000)
        switch random.below(100) {
        case _ where pause > 20_000 && random.chance(50): try await sweep()
        case 0..<12: try await accept()
        case 12..<24: try await claim()
        case 24..<36: try await preWire()
        case 36..<41: try await acknowledge()
        case 41..<45: try await refuse()
        case 45..<47: try await unknown()
        case 47..<54: try await receipt()
        case 54..<56: try await cancel()
        case 56..<59: try await sweep()
        case 59..<62: try await promote()
        case 62..<65: try await move()
        case 65: try await postpone()
        case 66: try await acquire(node: random.below(3))
        case 67..<71:
            try await expire(random.below(Self.senderCount))
            try await acquire(node: random.below(3))
        case 71: try await release()
        case 72: if random.chance(40) { try await remove() } else { try await recordState() }
        case 73: try await renew()
        default: try await goOn()
        }
        try await compare()
    }

    /// Whatever brings some message a step further.
    private mutating func goOn() async throws {
        func stands(_ state: ModelState) -> Bool { claims.contains { model.outbox[$0.model.message]?.state == state } }
        if stands(.prepared), random.chance(70) { return try await preWire() }
        if model.outbox.contains(where: { $0?.state == .accepted }), random.chance(50) { return try await claim() }
        guard stands(.onWire) else { return try await accept() }
        switch random.below(6) {
        case 0: try await refuse()
        case 1: try await unknown()
        case 2, 3: try await receipt()
        default: try await acknowledge()
        }
    }

    private mutating func anOwner() -> ModelOwner {
        // Mostly a living one.
        let living = owners.filter { model.leases[$0.sender].epoch == $0.epoch }
        let all = random.chance(85) && !living.isEmpty ? living : owners
        return all[random.below(all.count)]
    }

    /// A claim, mostly one whose message stands where the verb means it to; it may be an old claim all the same.
    private mutating func aClaim(of state: ModelState? = nil) -> (model: ModelDatabase.Claimed, real: ClaimedMessage)? {
        guard !claims.isEmpty else { return nil }
        if let state, random.chance(80) {
            let fitting = claims.filter { (model.outbox[$0.model.message]?.state ?? model.messages[$0.model.message]?.state) == state }
            if !fitting.isEmpty { return fitting[random.below(fitting.count)] }
        }
        return claims[max(0, claims.count - 1 - random.below(random.chance(80) ? 2 : claims.count))]
    }

    // MARK: Requests

    private mutating func accept() async throws {
        let recipient = random.below(Self.recipientCount)
        let named = random.chance(50) ? random.below(Self.senderCount) : nil
        let sendAt = random.chance(20) ? time + 1_000 + random.below(20_000) : nil
        let expiresAt = (sendAt ?? time) + 30_000 + random.below(random.chance(20) ? 10_000 : 300_000)
        let priority = random.below(3)
        let atMostOnce = random.chance(40)
        let key = random.chance(40) ? random.below(6) : nil
        // A known key comes with its own request, or with another one.
        let isOther = random.chance(30)
        let body = key.map { "text of key \($0)\(isOther ? ", changed" : "")" } ?? "text"
        let message = try SendMessage(
            to: "+62812000000\(recipient)", body: body, sender: key == nil ? named.map { "\(senders[$0])" } : nil,
            priority: ["high", "normal", "low"][priority], sendAt: key == nil ? sendAt.map(ModelTime.date) : nil,
            expiresAt: key == nil ? ModelTime.date(expiresAt) : nil, ttl: key == nil ? nil : 120, atMostOnce: atMostOnce, now: now)
        let caller = Caller(account: account, isTest: true)
        let idempotencyKey = try key.map { try IdempotencyKey("\(sequence)-\($0)") }
        let fingerprint = recipient * 100 + priority * 10 + (atMostOnce ? 1 : 0) + (isOther ? 1_000 : 0)
        story.append("accept for recipient \(recipient), sender \(named.map(String.init) ?? "any"), key \(key.map(String.init) ?? "none")")
        test.gateway.routing.forget(account)
        do {
            let accepted = try await test.gateway.messages.accept(message, caller: caller, idempotencyKey: idempotencyKey, now: now)
            if accepted.replayed {
                let known = key.flatMap { model.keys[$0] }
                try expect(known.map { ids[$0.message] } == accepted.message.id && known?.fingerprint == fingerprint, "replayed another message")
                return
            }
            guard let sender = accepted.message.sender.flatMap({ senders.firstIndex(of: $0.id) }) else { return try expect(false, "no sender") }
            let id = model.makeID()
            ids.append(accepted.message.id)
            numbers[accepted.message.id] = id
            for place in senders.indices { try await learn(id, place, recipient) }
            let outcome = model.accept(
                ModelDatabase.Accepting(
                    message: id, request: id, account: 0, sender: sender, wireID: Self.wireID(id, sender: sender), recipient: recipient,
                    priority: priority, createdAt: time, sendAt: key == nil ? sendAt : nil, expiresAt: key == nil ? expiresAt : time + 120_000,
                    atMostOnce: atMostOnce, movable: key != nil || named == nil, failFast: false, key: key, fingerprint: fingerprint))
            try expect(outcome == .stored(id), "the model says \(outcome)")
        } catch let failure as AcceptFailure {
            switch failure.code {
            case .idempotencyKeyReused:
                let known = key.flatMap { model.keys[$0] }
                try expect(known != nil && known?.fingerprint != fingerprint, "refused as reused")
            case .noSender, .senderNotFound, .noSenderAvailable: break
            default: throw failure
            }
        }
    }

    /// The wire ids are derived from a nonce that only the row knows.
    private mutating func learn(_ id: Int, _ sender: Int, _ recipient: Int) async throws {
        let row = try await test.owner.queryOne(
            "test.nonce", "SELECT send_nonce, recipient_index FROM messages WHERE account_id = \(account) AND message_id = \(ids[id])",
            as: { (try $0.column("send_nonce", as: [UInt8].self), try $0.column("recipient_index", as: [UInt8].self)) })
        guard let row else { return try expect(false, "message \(id) was accepted and is not there") }
        wireNames[WireID.make(nonce: row.0, sender: senders[sender])] = Self.wireID(id, sender: sender)
        recipients[row.1] = recipient
    }

    private mutating func cancel() async throws {
        guard !ids.isEmpty else { return }
        let id = random.below(ids.count)
        story.append("cancel \(id)")
        let real = try await test.gateway.messages.cancel(ids[id], account: account, now: now)
        let state = model.cancel(id, now: time)
        if case .canceled = real {
            try expect(state == .canceled, "canceled here, \(String(describing: state)) there")
        } else {
            try expect(state != .canceled, "not canceled")
        }
    }

    // MARK: Sending

    private mutating func claim() async throws {
        let owned = (0...random.below(3)).map { _ in anOwner() }.reduce(into: [ModelOwner]()) { if !$0.contains($1) { $0.append($1) } }
        let perSender = 1 + random.below(4)
        let deadline = time + 20_000
        story.append("claim \(perSender) for \(owned)")
        let real = try await test.gateway.outbox.claim(
            limit: 100, perSender: perSender, owned: owned.map { self.real($0) }, now: now, deadline: ModelTime.date(deadline))
        let taken = model.claim(limit: 100, perSender: perSender, owned: owned, now: time, deadline: deadline)
        func text(_ id: Int, _ owner: OwnedSender, _ attempt: Int, _ again: Bool, _ cold: Bool, _ wire: Int) -> String {
            "\(id) e\(owner.epoch) a\(attempt) \(again ? "again" : "due") \(cold ? "cold" : "warm") w\(wire)"
        }
        let realText = real.map { text(numbers[$0.id] ?? -1, $0.owner, $0.attempt, $0.onWireBefore, $0.dispatch.isCold, wireNames[$0.wireID] ?? -1) }
        let modelText = taken.map { text($0.message, self.real($0.owner), $0.attempt, $0.onWireBefore, $0.isCold, $0.wireID) }
        try expect(realText == modelText, "claimed \(realText), the model \(modelText)")
        claims += zip(taken, real).map { ($0, $1) }
    }

    private mutating func preWire() async throws {
        guard let claim = aClaim(of: .prepared) else { return }
        story.append("pre-wire of \(claim.model.message) under \(claim.model.owner)")
        var refusal: PreWireRefusal?
        do {
            try await test.gateway.outbox.preWire(claim.real, owner: claim.real.owner, now: now)
        } catch let error as PreWireRefusal { refusal = error }
        let answer = model.preWire(claim.model, ratchet: nil, now: time)
        let expected: ModelDatabase.PreWire =
            switch refusal {
            case nil: .mayLeave
            case .lostLease: .lostLease
            case .canceled: .canceled
            case .expired: .expired
            case .notPrepared: .notPrepared
            case .overLimit: .overLimit
            }
        try expect(answer == expected, "pre-wire \(expected), the model \(answer)")
    }

    private mutating func acknowledge() async throws {
        guard let claim = aClaim(of: .onWire) else { return }
        story.append("ack of \(claim.model.message) under \(claim.model.owner)")
        let real = try await test.gateway.outbox.acknowledge(
            Acknowledged(message: claim.real.id, owner: claim.real.owner, wireID: claim.real.wireID), now: now)
        let model = model.acknowledge(claim.model.message, owner: claim.model.owner, wireID: claim.model.wireID, now: time)
        try expect(real == model, "acknowledged \(real), the model \(model)")
    }

    private mutating func refuse() async throws {
        guard let claim = aClaim(of: .onWire) else { return }
        let attempts = claim.model.attempt + random.below(2)
        let at = time + 5_000 + random.below(200_000)
        let (course, modelCourse, code, finding, modelFinding): (Refused.Course, ModelRefusal.Course, Int, Health.Finding?, ModelRefusal.Finding?) =
            switch random.below(5) {
            case 0: (.end, .end, 406, nil, nil)
            case 1: (.retry(at: ModelTime.date(at)), .retry(at: at), 503, nil, nil)
            case 2: (.once(at: ModelTime.date(at)), .once(at: at), 403, nil, nil)
            case 3: (.elsewhere, .elsewhere, 463, .newChatRefused(until: nil), .newChatRefused)
            default: (.retry(at: now), .retry(at: time), 429, .rateLimited, .rateLimited)
            }
        story.append("refusal \(modelCourse) of \(claim.model.message) under \(claim.model.owner) after \(attempts) wires")
        let real = try await test.gateway.outbox.refused(
            [
                Refused(
                    message: claim.real.id, owner: claim.real.owner, attempts: attempts, failure: .refused, serverCode: code, course: course,
                    health: finding)
            ], now: now)
        let changed = model.refused(
            ModelRefusal(
                message: claim.model.message, owner: claim.model.owner, attempts: attempts, failure: "refused", serverCode: code, course: modelCourse,
                finding: modelFinding), now: time)
        try expect(real.isEmpty != changed, "refused \(!real.isEmpty), the model \(changed)")
    }

    private mutating func unknown() async throws {
        guard let claim = aClaim(of: .onWire) else { return }
        let retryAt = time + 1_000
        story.append("unknown outcome of \(claim.model.message) under \(claim.model.owner)")
        let real = try await test.gateway.outbox.unknown(
            [Unknown(message: claim.real.id, owner: claim.real.owner, retryAt: ModelTime.date(retryAt))], now: now)
        let changed = model.unknown(claim.model.message, owner: claim.model.owner, retryAt: retryAt)
        try expect(real.isEmpty != changed, "unknown \(!real.isEmpty), the model \(changed)")
    }

    private mutating func postpone() async throws {
        guard let claim = aClaim(of: .prepared) else { return }
        let until = time + 4_000
        story.append("postpone \(claim.model.message) under \(claim.model.owner)")
        try await test.gateway.outbox.postpone([Postponed(message: claim.real.id, owner: claim.real.owner, until: ModelTime.date(until))])
        model.postpone(claim.model.message, owner: claim.model.owner, until: until)
    }

    private mutating func receipt() async throws {
        guard let claim = aClaim(of: [ModelState.onWire, .sent, .delivered, .unconfirmed][random.below(4)]) else { return }
        let isRead = random.chance(40)
        let owner = random.chance(70) ? claim.model.owner : anOwner()
        story.append("\(isRead ? "read" : "delivery") receipt of \(claim.model.message) under \(owner)")
        let risen = try await test.gateway.outbox.recordReceipts(
            [ReceiptRecord(owner: real(owner), wireID: claim.real.wireID, kind: isRead ? .read : .delivered, at: now)], now: now)
        let changed = model.receipt(owner, wireID: claim.model.wireID, isRead: isRead, now: time)
        try expect(risen.isEmpty != changed, "risen \(!risen.isEmpty), the model \(changed)")
    }

    // MARK: What runs by itself

    private mutating func sweep() async throws {
        story.append("sweep")
        while try await test.gateway.outbox.sweep(now: now).total > 0 {}
        while model.sweep(now: time) > 0 {}
    }

    /// The choice is the router's; what may be changed, and how, is compared.
    private mutating func promote() async throws {
        story.append("promote")
        let before = model.outbox
        test.gateway.routing.forget(account)
        _ = try await test.gateway.outbox.promote(now: now)
        for (id, row) in before.enumerated() where row?.state == .scheduled {
            guard let row, let (sender, state, failure) = try await found(id) else { continue }
            if state == .accepted {
                try expect(model.promote(id, to: sender, wireID: Self.wireID(id, sender: sender), now: time), "message \(id) was promoted")
            } else if state == .failed {
                try expect(model.abandon(id, sender: row.sender, failure: failure ?? "", now: time), "message \(id) was given up")
            } else {
                try expect(row.dueAt > time || row.expiresAt <= time, "message \(id) was not promoted")
            }
        }
    }

    private mutating func move() async throws {
        story.append("move")
        let before = model.outbox
        test.gateway.routing.forget(account)
        _ = try await test.gateway.outbox.move(from: &position, now: now)
        for (id, row) in before.enumerated() where row?.state == .accepted || row?.state == .scheduled {
            guard let row, let (sender, state, failure) = try await found(id) else { continue }
            if state == .failed {
                try expect(model.abandon(id, sender: row.sender, failure: failure ?? "", now: time), "message \(id) was given up")
            } else if sender != row.sender {
                try expect(
                    model.move(id, from: row.sender, to: sender, wireID: Self.wireID(id, sender: sender), now: time), "message \(id) was moved")
            }
        }
    }

    private func found(_ id: Int) async throws -> (sender: Int, state: MessageState, failure: String?)? {
        try await test.owner.queryOne(
            "test.found", "SELECT sender_id, state, failure_code FROM messages WHERE account_id = \(account) AND message_id = \(ids[id])"
        ) { row in
            (
                sender: senders.firstIndex(of: try row["sender_id"]) ?? -1, state: try row.state("state"),
                failure: try row.column("failure_code", as: String?.self)
            )
        }
    }

    // MARK: Leases and senders

    private mutating func renew() async throws {
        let owner = anOwner()
        let node = random.below(3)
        story.append("renew \(owner) by node \(node)")
        let real = try await test.gateway.leases.renew(node: "node-\(node)", owned: [real(owner)], ttl: .seconds(3_600))
        let kept = model.renew(node: node, owned: [owner], ttl: 3_600_000, clock: 0)
        try expect(real.count == kept.count, "renewed \(real.count), the model \(kept.count)")
    }

    private mutating func release() async throws {
        let owner = anOwner()
        let node = random.below(3)
        story.append("release \(owner) by node \(node)")
        try await test.gateway.leases.release(node: "node-\(node)", owned: [real(owner)])
        model.release(node: node, owned: [owner])
    }

    private mutating func recordState() async throws {
        let owner = anOwner()
        let state: SenderState = [.ready, .disconnected, .ready, .loggedOut][random.below(4)]
        story.append("\(owner) is \(state)")
        let real = try await test.gateway.senders.recordState(real(owner), state, now: now)
        let changed = model.recordState(owner, state.rawValue, now: time)
        try expect(real == changed, "recorded \(real), the model \(changed)")
    }

    private mutating func remove() async throws {
        let sender = random.below(Self.senderCount)
        story.append("remove \(sender)")
        let state = try await test.gateway.senders.remove(senders[sender], account: account, now: now)
        model.remove(sender, clock: 0, now: time)
        try expect(state?.rawValue == model.senders[sender].state, "is \(String(describing: state)), in the model \(model.senders[sender].state)")
        if state == .removing, random.chance(60) {
            let owner = anOwner()
            story.append("purge under \(owner)")
            let real = try await test.gateway.senders.purge(real(owner), now: now)
            try expect(real == model.purge(owner, as: "removed", now: time), "purged \(real)")
        }
    }
}
