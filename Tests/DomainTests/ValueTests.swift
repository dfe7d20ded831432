@testable import Domain
import Foundation
import Testing

@Suite struct ValueTests {
    @Test func `every problem of a request is told at once, each with its pointer and code`() throws {
        let now = Date(timeIntervalSince1970: 0)

        let error = try #require(throws: InvalidMessage.self) {
            try SendMessage(
                to: "0812", type: "image", body: String(repeating: "a", count: 65_537), sender: "x", policy: "best", priority: "now",
                expiresAt: now, reference: "", now: now)
        }

        #expect(
            error.problems.map { "\($0.pointer) \($0.code.rawValue)" }.sorted() == [
                "/expires_at too_early", "/priority invalid_value", "/reference empty", "/route/policy unsupported", "/route/sender invalid_id",
                "/text/body too_long", "/to invalid_number", "/type unsupported",
            ])
    }

    @Test(arguments: ["+628123456789", "+1234567", "+123456789012345"]) func `a number in E.164 form is taken`(text: String) throws {
        #expect(try E164(text).text == text)
    }

    @Test(arguments: ["", "+", "628123456789", "+0812345678", "+123456", "+1234567890123456", "+62 812345678", "+６２812345678", "+62812a45678"])
    func `anything else is no number`(text: String) {
        #expect(throws: InvalidNumber.self) { try E164(text) }
    }

    @Test func `a national number gets the account's calling code, and a number never prints`() throws {
        let number = try E164("08123456789", defaultCallingCode: "62")

        #expect(number.text == "+628123456789")
        let text = try MessageText("secret")
        #expect("\(number)" == "E164(redacted)" && !"\(text)".contains("secret"))
    }

    @Test func `an id has one text, and only its own kind reads it`() throws {
        let id = Message.ID(UUID(uuidString: "01A1FD31-672E-730B-9C3A-B66116CE1167")!)
        let text = "\(id)"

        #expect(text.count == 30 && text.hasPrefix("msg_"))
        #expect(try Message.ID(text: text) == id)
        #expect(throws: InvalidID.self) { try Sender.ID(text: text) }
        for wrong in [text.uppercased(), String(text.dropLast()), text + "0", "msg_8" + text.dropFirst(5), "msg_u" + text.dropFirst(5), ""] {
            #expect(throws: InvalidID.self) { try Message.ID(text: wrong) }
        }
    }

    @Test func `a wire id depends on nonce and sender alone`() throws {
        let sender = try Sender.ID(text: "snd_01m7ymjsse0e5szefpc4bcw4b7")
        let nonce = [UInt8](0..<16)

        let id = WireID.make(nonce: nonce, sender: sender)

        #expect(id == WireID.make(nonce: nonce, sender: sender) && id.count == 22 && id.hasPrefix("3EB0") && id == id.uppercased())
        #expect(id != WireID.make(nonce: [UInt8](1..<17), sender: sender))
        #expect(try WireID.messageSecret(nonce: nonce, sender: sender).count == 32)
    }

    @Test func `every internal state has a public one, and settled means nothing more is sent`() {
        #expect(Set(MessageState.allCases.map(\.status)) == Set(MessageStatus.allCases))
        #expect(MessageStatus.allCases.filter { !$0.isSettled } == [.scheduled, .queued, .sending])
    }
}
