import Testing

@testable import WhatsAppWire

@Suite struct JIDTests {
    @Test(arguments: [
        ("15551234567@s.whatsapp.net", JID.phone("15551234567")), ("15551234567:3@s.whatsapp.net", .phone("15551234567", device: 3)),
        ("123456789012345:65535@lid", .lid("123456789012345", device: 65_535)),
        ("1.200:4@s.whatsapp.net", JID(user: "1", server: .phone, device: 4, agent: 200)), ("s.whatsapp.net", .server),
        ("status@broadcast", JID(user: "status", server: .broadcast)), ("1-2@g.us", JID(user: "1-2", server: .group)),
        ("7-155:9@interop", JID(user: "7-155", server: .interop, device: 9, integrator: 7)),
        ("99:99@hosted.lid", JID(user: "99", server: .hostedLID, device: 99)),
    ])
    func `text and value say the same`(_ text: String, _ jid: JID) {
        // given, when
        let parsed = JID(text)

        // then
        #expect(parsed == jid)
        #expect(jid.description == text)
    }

    @Test(arguments: [
        "", "@", "@lid", "1@", "a@b@lid", "1:@lid", "1:65536@lid", "1:+1@lid", "1: 1@lid", "1.256:0@lid", "1.:0@lid", ".1:0@lid", ":1@lid",
        "1:1:1@lid", "a.b@lid",
    ])
    func `what is no JID is refused`(_ text: String) {
        // given, when
        let parsed = JID(text)

        // then
        #expect(parsed == nil)
    }

    @Test func `the agent and a device of 0 may be written out`() {
        // given, when
        let parsed = JID("5.0:0@lid")

        // then
        #expect(parsed == .lid("5"))
    }

    @Test(arguments: [
        ("15551234567:3@s.whatsapp.net", "15551234567"), ("123456789012345:3@lid", "123456789012345_1"), ("5:99@hosted", "5_128"),
        ("5:99@hosted.lid", "5_129"),
        ("5.7:1@s.whatsapp.net", "5_7"),
    ])
    func `the Signal name carries the domain`(_ text: String, _ name: String) throws {
        // given
        let jid = try #require(JID(text))

        // when, then
        #expect(jid.signalName == name)
    }

    @Test func `bare takes device and agent away, and withDevice puts a device in`() {
        // given
        let jid = JID(user: "5", server: .phone, device: 3, agent: 7)

        // when, then
        #expect(jid.bare == .phone("5"))
        #expect(jid.bare.withDevice(3) == .phone("5", device: 3))
        #expect(jid.adString == "5.7:3@s.whatsapp.net")
        #expect(JID.lid("5").adString == "5.0:0@lid")
        #expect(!jid.isPrimaryDevice && jid.bare.isPrimaryDevice)
        #expect(JID.server.isServer && !jid.isServer)
    }
}
