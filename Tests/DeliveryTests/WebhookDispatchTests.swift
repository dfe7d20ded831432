@testable import Delivery
@testable import Domain
import Foundation
import OutboundHTTP
import Primitives
import Proof
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@Suite struct WebhookDispatchTests {
    @Test func `an event is posted once as JSON, signed over the bytes that were sent, and its attempt is noted`() async throws {
        try await withHooks { rig, book, receiver in
            let (endpoint, secret) = try await rig.addEndpoint(receiver.url + "/hook?a=b")
            let event = try await rig.publish()
            #expect(await rig.dispatcher().runOnce() == 1)
            #expect(await rig.dispatcher().runOnce() == 0)

            let request = try #require(book.all.first)
            let key = try #require(secret.flatMap { Data(base64Encoded: String($0.dropFirst(6))) })
            let signer = try #require(WebhookSecret(.symmetric, copying: Array(key)))
            let timestamp = Int(rig.test.now.timeIntervalSince1970)
            #expect(book.all.count == 1 && request.path == "/hook?a=b" && request.id == event.description)
            #expect(request.headers["content-type"] == "application/json" && request.headers["webhook-timestamp"] == "\(timestamp)")
            #expect(request.headers["webhook-signature"] == signer.signature(id: request.id, timestamp: timestamp, body: request.body))
            #expect(request.headers["accept-encoding"] == nil && request.headers["cookie"] == nil && request.headers["authorization"] == nil)
            let delivery = try await rig.delivery(event, at: endpoint)
            #expect(delivery?.state == .delivered && delivery?.attempts.map(\.status) == [204])
        }
    }

    @Test func `every bad answer is a failure with its own mark, is tried again under the same id, and no redirect is followed`() async throws {
        try await withHooks { rig, book, receiver in
            let (endpoint, _) = try await rig.addEndpoint(receiver.url)
            let answers: [(HookAnswer, status: Int?, codes: Set<String?>)] = [
                (.status(500), 500, [nil]), (.status(404), 404, [nil]),
                (.status(302, headers: ["location": receiver.url + "/elsewhere"]), 302, [nil]),
                (.status(304), 304, [nil]), (.close, nil, ["connection_lost"]),
            ]
            for answer in answers {
                book.behave { _ in answer.0 }
                let event = try await rig.publish()
                _ = await rig.dispatcher().runOnce()
                let failed = try #require(try await rig.delivery(event, at: endpoint))
                book.behave { _ in .status(200) }
                rig.test.clock.advance(by: 3_600)
                _ = await rig.dispatcher().runOnce()
                let done = try #require(try await rig.delivery(event, at: endpoint))

                #expect(failed.state == .pending && failed.attempts.count == 1, "\(answer)")
                #expect(failed.attempts[0].status == answer.status && answer.codes.contains(failed.attempts[0].code), "\(failed)")
                #expect(done.state == .delivered && done.attempts.count == 2)
                let ids = book.all.filter { $0.id == event.description }
                // A request on a kept connection that is closed without a word is sent once more at once, by the client.
                #expect(ids.count == 2 || failed.attempts[0].code == "connection_lost" && ids.count == 3, "\(ids.count)")
                #expect(ids.first?.body == ids.last?.body && ids.first?.headers["webhook-timestamp"] != ids.last?.headers["webhook-timestamp"])
            }
            #expect(!book.all.contains { $0.path == "/elsewhere" })
        }
    }

    @Test func `who never answers, or never ends, is given up at the deadline; a body too long is cut off and counts`() async throws {
        try await withHooks { rig, book, receiver in
            let (endpoint, _) = try await rig.addEndpoint(receiver.url)
            let cases: [(HookAnswer, WebhookDelivery.State, code: String?)] = [
                (.hang, .pending, "timeout"), (.endless(isSlow: true), .pending, "timeout"),
            ]
            for (answer, state, code) in cases {
                book.behave { _ in answer }
                let event = try await rig.publish()
                // Nothing would ever end it but this deadline.
                _ = await rig.dispatcher(deadline: .milliseconds(500)).runOnce()
                let delivery = try #require(try await rig.delivery(event, at: endpoint))
                // On a machine that stands still the deadline may pass before a connection is there.
                #expect(delivery.state == state && (delivery.attempts[0].code == code || delivery.attempts[0].code == "unreachable"), "\(delivery)")
            }
            book.behave { _ in .endless(isSlow: false) }
            let event = try await rig.publish()
            _ = await rig.dispatcher().runOnce()
            #expect(try await rig.delivery(event, at: endpoint)?.state == .delivered)
            // Compression is neither asked for nor undone: a bomb is a few bytes like any others.
            book.behave { _ in .status(200, headers: ["content-encoding": "gzip"], body: [0x1f, 0x8b] + [UInt8](repeating: 7, count: 9_000)) }
            let bomb = try await rig.publish()
            _ = await rig.dispatcher().runOnce()
            #expect(try await rig.delivery(bomb, at: endpoint)?.state == .delivered)
        }
    }

    @Test func `Retry-After is obeyed in seconds and as a date`() async throws {
        try await withHooks { rig, book, receiver in
            let (endpoint, _) = try await rig.addEndpoint(receiver.url)
            // The clock stands at 20:26:40, and at 20:30:00 the second time.
            for header in ["120", "Thu, 28 May 2026 20:32:00 GMT"] {
                book.behave { _ in .status(429, headers: ["retry-after": header]) }
                let event = try await rig.publish()
                _ = await rig.dispatcher().runOnce()
                let next = try #require(try await rig.delivery(event, at: endpoint)?.nextAt)
                rig.test.clock.advance(by: 119)
                #expect(await rig.dispatcher().runOnce() == 0)
                book.behave { _ in .status(200) }
                // What an attempt takes is real time, and is added.
                rig.test.clock.advance(by: 81)
                #expect(next > rig.test.now.addingTimeInterval(-81), "\(header): \(next)")
                #expect(await rig.dispatcher().runOnce() == 1)
            }
        }
    }

    @Test func `dates of HTTP are read, and nothing else is`() {
        #expect(OutboundResponse.date("Sun, 06 Nov 1994 08:49:37 GMT") == Date(timeIntervalSince1970: 784_111_777))
        for text in [
            "", "120", "Sun, 06 Nov 1994 08:49:37", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 31 Feb 2026 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
        ] {
            #expect(OutboundResponse.date(text) == nil, "\(text)")
        }
    }

    @Test func `410 disables an endpoint, and nothing more is sent there`() async throws {
        try await withHooks { rig, book, receiver in
            let (endpoint, _) = try await rig.addEndpoint(receiver.url)
            book.behave { _ in .status(410) }
            for _ in 0..<5 { try await rig.publish() }
            _ = await rig.dispatcher(perEndpoint: 1).runOnce()
            rig.test.clock.advance(by: 86_400)
            _ = await rig.dispatcher().runOnce()
            #expect(book.all.count == 1)
            #expect(try await rig.gateway.webhooks.get(endpoint, account: rig.account)?.disabledReason == .gone)
        }
    }

    @Test func `an answer without the challenge proves nothing`() async throws {
        try await withHooks { rig, _, _ in
            let book = HookBook()
            let careless = try await HookReceiver.start { request in
                _ = book.answer(request)
                return .status(200, body: Array(#"{"ok": true}"#.utf8))
            }
            let made = try #require(
                try await rig.gateway.webhooks.create(account: rig.account, EndpointFields(url: careless.url), test: true, now: rig.test.now))
            try await rig.publish()
            #expect(await rig.dispatcher().runOnce() == 1)
            #expect(try await rig.gateway.webhooks.get(made.endpoint.id, account: rig.account)?.state == .verifying)
            let log = try await rig.gateway.webhooks.deliveries(made.endpoint.id, account: rig.account, page: PageRequest(), now: rig.test.now).data
            #expect(log.map(\.type) == ["webhook_endpoint.verification"] && log[0].attempts.map(\.code) == ["challenge_missing"])
            #expect(book.all.isEmpty)
            await careless.stop()
        }
    }

    @Test func `a name that turns to a private address is not connected to, and the customer is not told why`() async throws {
        let answer = Mutex("127.0.0.1")
        try await withHooks(resolver: FixedResolver { _ in [answer.withLock { $0 }] }) { rig, book, receiver in
            let (endpoint, _) = try await rig.addEndpoint("http://rebinding.example:\(receiver.port)/")
            for address in ["10.0.0.1", "169.254.169.254", "::ffff:192.168.0.1"] {
                answer.withLock { $0 = address }
                let event = try await rig.publish()
                rig.test.clock.advance(by: 1)
                _ = await rig.dispatcher().runOnce()
                #expect(try await rig.delivery(event, at: endpoint)?.attempts.map(\.code) == ["unreachable"], "\(address)")
            }
            #expect(book.all.isEmpty)
        }
    }

    @Test func `an endpoint that hangs holds its own share only; everybody else's events arrive meanwhile`() async throws {
        try await withHooks { rig, book, receiver in
            let hanging = HookBook { _ in .hang }
            let tarpit = try await HookReceiver.start { hanging.answer($0) }
            let other = try await rig.gateway.accounts.create(name: "Warung", now: rig.test.now).id
            _ = try await rig.addEndpoint(tarpit.url)
            _ = try await rig.addEndpoint(receiver.url, other)
            for _ in 0..<100 { try await rig.publish() }
            let dispatcher = rig.dispatcher()
            let running = Task { await dispatcher.run() }
            dispatcher.wake()
            await hanging.wait(for: 8)
            for _ in 0..<50 { try await rig.publish(other) }
            dispatcher.wake()
            await book.wait(for: 50)

            #expect(hanging.all.count == 8)
            #expect(Set(book.all.map(\.id)).count == 50)
            dispatcher.stop()
            await tarpit.stop()
            await running.value
        }
    }

    @Test func `a node that is cut off gives back what it was sending, and the next one sends it under the same id`() async throws {
        try await withHooks { rig, book, receiver in
            let (endpoint, _) = try await rig.addEndpoint(receiver.url)
            book.behave { _ in .hang }
            let event = try await rig.publish()
            let first = rig.dispatcher(claimLength: 7_200)
            let running = Task { await first.run() }
            first.wake()
            await book.wait(for: 1)
            running.cancel()
            await running.value
            book.behave { _ in .status(200) }
            // Long before the claim would end.
            rig.test.clock.advance(by: 3_600)
            #expect(await rig.dispatcher().runOnce() == 1)

            #expect(book.all.map(\.id) == [event.description, event.description])
            #expect(try await rig.delivery(event, at: endpoint)?.state == .delivered)
        }
    }

    @Test func `a node that is killed loses nothing: what it had claimed is sent again when the claim is over`() async throws {
        try await withHooks { rig, book, receiver in
            let (endpoint, _) = try await rig.addEndpoint(receiver.url)
            let events = Set([try await rig.publish(), try await rig.publish(), try await rig.publish()])
            // It claims and is never heard of again.
            var position: EndpointPlace?
            let due = try await rig.gateway.webhooks.due(from: &position, now: rig.test.now)
            let claimed = try await rig.gateway.webhooks.claim(
                due.map { ($0, 2) }, concurrency: 8, now: rig.test.now, deadline: rig.test.now.addingTimeInterval(WebhookDispatcher.claimLength))
            #expect(claimed.count == 2)
            #expect(await rig.dispatcher().runOnce() == 1)
            rig.test.clock.advance(by: WebhookDispatcher.claimLength)
            #expect(await rig.dispatcher().runOnce() == 2)

            #expect(Set(book.all.map(\.id)) == Set(events.map(\.description)) && book.all.count == 3)
            for event in events { #expect(try await rig.delivery(event, at: endpoint)?.state == .delivered) }
        }
    }

    @Test func `a rotation in the middle of the tries leaves nobody unable to verify`() async throws {
        try await withHooks { rig, book, receiver in
            let (endpoint, old) = try await rig.addEndpoint(receiver.url)
            book.behave { _ in .status(500) }
            try await rig.publish()
            _ = await rig.dispatcher().runOnce()
            let new = try await rig.gateway.webhooks.rotate(endpoint, account: rig.account, now: rig.test.now)?.secret
            book.behave { _ in .status(200) }
            rig.test.clock.advance(by: 3_600)
            _ = await rig.dispatcher().runOnce()
            let requests = book.all

            #expect(requests.count == 2 && requests[0].id == requests[1].id)
            for (secret, signs) in [(old, [true, true]), (new, [false, true])] {
                let key = try #require(secret.flatMap { Data(base64Encoded: String($0.dropFirst(6))) })
                let signer = try #require(WebhookSecret(.symmetric, copying: Array(key)))
                let verified = requests.map { request in
                    let expected = signer.signature(
                        id: request.id, timestamp: Int(request.headers["webhook-timestamp"] ?? "") ?? 0, body: request.body)
                    return (request.headers["webhook-signature"] ?? "").split(separator: " ").contains { $0 == expected }
                }
                #expect(verified == signs)
            }
        }
    }

    @Test func `the service sends what comes while it runs, and ends when it is told`() async throws {
        try await withHooks { rig, book, receiver in
            _ = try await rig.addEndpoint(receiver.url)
            let service = WebhookService(gateway: rig.gateway, http: rig.http, now: { rig.test.now }, logger: .silent)
            let group = ServiceGroup(services: [service], logger: .silent)
            let running = Task { try await group.run() }
            for _ in 0..<20 { try await rig.publish() }
            await book.wait(for: 20)
            await group.triggerGracefulShutdown()
            try await running.value
            #expect(Set(book.all.map(\.id)).count == 20)
        }
    }
}

@Suite struct WebhookSlotTests {
    private func place(_ account: UInt8, _ endpoint: UInt8) -> EndpointPlace {
        EndpointPlace(account: Account.ID(UUID(bytes: [account])), endpoint: WebhookEndpoint.ID(UUID(bytes: [account, endpoint])))
    }

    @Test func `slots are shared equally within the limits of endpoint, account and node`() {
        var slots = WebhookSlots(WebhookSlots.Limits(perEndpoint: 4, perAccount: 6, total: 12))
        let taken = slots.take(for: [place(1, 1), place(1, 2), place(2, 1), place(3, 1)])
        #expect(taken.map(\.most) == [3, 3, 3, 3] && slots.isFull)
        #expect(slots.take(for: [place(4, 1)]).isEmpty)
        slots.giveBack(place(1, 1), 2)
        // The account has two left, the endpoint three, the node two.
        #expect(slots.take(for: [place(1, 1)]).map(\.most) == [2])
        for (endpoint, number) in [(place(1, 1), 3), (place(1, 2), 3), (place(2, 1), 3), (place(3, 1), 3)] { slots.giveBack(endpoint, number) }
        #expect(slots.count == 0 && slots.take(for: [place(9, 1)]).map(\.most) == [4])
    }

    @Test func `when not everybody gets one, those that got none are named first next time`() {
        var slots = WebhookSlots(WebhookSlots.Limits(perEndpoint: 8, perAccount: 64, total: 3))
        let places = (1...5).map { place(UInt8($0), 1) }
        let first = slots.take(for: places)
        #expect(first.map(\.place) == Array(places.prefix(3)) && slots.isFull)
        for (place, most) in first { slots.giveBack(place, most) }
        #expect(slots.take(for: Array(places.dropFirst(3))).map(\.place) == Array(places.suffix(2)))
    }
}
