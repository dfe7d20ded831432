import Fakes
import Foundation
import OutboundHTTP
import Primitives
import TestSupport
import Testing

@testable import Alerting

@Suite struct ResendClientTests {
    private let email = Email(from: "Gateway <a@example.com>", to: "b@example.com", subject: "One\nline", text: "x", html: "<p>x</p>")

    @Test func `An e-mail is sent once, however often it is asked for under one key`() async throws {
        try await withFakes { _, resend, clock in
            let client = try AlertRig.client(resend)
            let first = try await client.send(email, key: "alert/1")
            let again = try await client.send(email, key: "alert/1")
            clock.advance(by: 1)
            let other = try await client.send(email, key: "alert/2")
            #expect(first.id == again.id && first.id != other.id)
            #expect(resend.mails.map(\.subject) == ["One line", "One line"])
            #expect(resend.mails.first?.to == ["b@example.com"] && resend.mails.first?.html == "<p>x</p>")
            #expect(resend.complaints == [])
        }
    }

    @Test func `An answer that was lost does not make a second e-mail`() async throws {
        try await withFakes { _, resend, clock in
            let client = try AlertRig.client(resend)
            resend.order(.closeAfterAccept)
            let lost = await #expect(throws: ResendFailure.self) { try await client.send(email, key: "alert/1") }
            clock.advance(by: 30)
            let taken = try await client.send(email, key: "alert/1")
            #expect(lost?.code == "connection_lost")
            #expect(resend.mails.map(\.id) == [taken.id])
        }
    }

    @Test func `Every refusal has its name`() async throws {
        try await withFakes { _, resend, clock in
            let client = try AlertRig.client(resend)
            let cases: [(FakeResend.Order, ResendFailure)] = [
                (.limited(retryAfter: 7), .limited(retryAfter: .seconds(7))), (.quotaExceeded, .quotaExceeded), (.concurrent, .concurrent),
                (.server(503), .server(status: 503)), (.refused("invalid_from_address"), .refused(status: 422)), (.unauthorized, .unauthorized),
                (.garbage, .unreadable(status: 200)),
            ]
            for (order, failure) in cases {
                clock.advance(by: 1)
                resend.order(order)
                await #expect(throws: failure) { try await client.send(email, key: "alert/x") }
            }
            clock.advance(by: 1)
            _ = try await client.send(email, key: "alert/y")
            clock.advance(by: 1)
            let changed = Email(from: email.from, to: email.to, subject: "Other", text: "x", html: "x")
            await #expect(throws: ResendFailure.keyUsed) { try await client.send(changed, key: "alert/y") }
            clock.advance(by: 1)
            let stranger = try AlertRig.client(resend, key: "re_somebody_else")
            await #expect(throws: ResendFailure.unauthorized) { try await stranger.send(email, key: "alert/z") }
            #expect(resend.mails.count == 1)
        }
    }

    @Test func `A hundred e-mails are one request, and one that is wrong stops them all`() async throws {
        try await withFakes { _, resend, clock in
            let client = try AlertRig.client(resend)
            let all = (0..<100).map { Email(from: email.from, to: "p\($0)@example.com", subject: "Digest", text: "x", html: "x") }
            let taken = try await client.send(all, key: "alert-batch/1")
            #expect(taken.ids.count == 100 && Set(taken.ids).count == 100)
            #expect(resend.mails.map(\.to) == all.map { [$0.to] } && resend.calls.count == 1)
            clock.advance(by: 1)
            let wrong = [all[0], Email(from: email.from, to: "nobody", subject: "x", text: "x", html: "x")]
            await #expect(throws: ResendFailure.refused(status: 422)) { try await client.send(wrong, key: "alert-batch/2") }
            #expect(resend.mails.count == 100)
        }
    }

    @Test func `What became of an e-mail can be asked, and a key can be tried out without sending`() async throws {
        try await withFakes { _, resend, clock in
            let client = try AlertRig.client(resend)
            let id = try await client.send(email, key: "alert/1").id
            resend.report("bounced", to: "b@example.com")
            #expect(try await client.lastEvent(of: id) == "bounced")
            clock.advance(by: 1)
            await #expect(throws: ResendFailure.notFound) { _ = try await client.lastEvent(of: "no/such") }
            try await client.check()
            #expect(resend.mails.count == 1 && resend.complaints == [])
            clock.advance(by: 1)
            let stranger = try AlertRig.client(resend, key: "re_somebody_else")
            await #expect(throws: ResendFailure.unauthorized) { try await stranger.check() }
        }
    }

    @Test func `The answer that uses up the limit says how long to wait`() async throws {
        try await withFakes { _, resend, _ in
            let client = try AlertRig.client(resend)
            let first = try await client.send(email, key: "alert/1")
            let second = try await client.send(email, key: "alert/2")
            #expect(first.pause == nil && second.pause == .seconds(1))
            await #expect(throws: ResendFailure.limited(retryAfter: .seconds(1))) { try await client.send(email, key: "alert/3") }
        }
    }

    // MARK: Its webhook

    @Test func `A bounce counts only with a right and fresh signature`() throws {
        let key = Array("a key of thirty-two bytes length".utf8)
        let secret = "whsec_" + Data(key).base64EncodedString()
        let now = Date(timeIntervalSince1970: 1_780_000_000)
        let body = Array(#"{"type":"email.bounced","created_at":"x","data":{"email_id":"56761188-7520-42d8-8898-ff6fc54ce618","to":["x"]}}"#.utf8)
        func headers(_ time: Int = 1_780_000_000, id: String = "msg_1", key: [UInt8]? = nil) -> [String: String] {
            let tag = HMAC256.authenticate(Array("\(id).\(time).".utf8) + body, key: key ?? Array("a key of thirty-two bytes length".utf8))
            return ["svix-id": id, "svix-timestamp": "\(time)", "svix-signature": "v1,AAAA v1,\(Data(tag).base64EncodedString())"]
        }
        func event(_ headers: [String: String], _ body: [UInt8]) -> ResendEvent? {
            ResendEvent(body: body, header: { headers[$0] }, secret: secret, now: now)
        }
        let good = try #require(event(headers(), body))
        #expect(good.isEnd && good.email == "56761188-7520-42d8-8898-ff6fc54ce618")
        #expect(event(headers(key: Array("another key of thirty-two bytes.".utf8)), body) == nil)
        #expect(event(headers(1_780_000_000 - 301), body) == nil)
        #expect(event(headers(1_780_000_000 + 301), body) == nil)
        #expect(event(headers(), body + [0x20]) == nil)
        for name in ["svix-id", "svix-timestamp", "svix-signature"] {
            var some = headers()
            some[name] = nil
            #expect(event(some, body) == nil, "\(name)")
        }
        #expect(ResendEvent(body: body, header: { headers()[$0] }, secret: "whsec_", now: now) == nil)
    }
}
