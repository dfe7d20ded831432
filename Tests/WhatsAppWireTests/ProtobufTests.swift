import Primitives
import Testing

@testable import WhatsAppWire

@Suite struct ProtobufTests {
    private let keys: ClientPayload.RegistrationKeys
    private let profile = DeviceProfile(name: "Gateway")

    init() throws {
        let signedPreKey = try key(3).publicKey
        keys = ClientPayload.RegistrationKeys(
            registrationID: 16_380, identity: try key(2).publicKey, signedPreKeyID: 1, signedPreKey: signedPreKey,
            signature: try key(2).signature(for: signedPreKey.typed, random: ConstantRandom()))
    }

    @Test func `a plain text is a conversation and one with context an extended text`() {
        let plain = TextMessage("hello").message
        #expect(plain.wireBytes == [0x0A, 5] + Array("hello".utf8))
        var context = WAContextInfo()
        context.stanzaID = "3EB0"
        let reply = TextMessage("hello", context: context, random: ConstantRandom()).message
        #expect(!reply.hasConversation)
        #expect(reply.extendedTextMessage.contextInfo.stanzaID == "3EB0")
        #expect(reply.messageContextInfo.messageSecret.count == 32)
        #expect(reply.text == "hello")
    }

    @Test func `the copy for own devices names the chat and carries the message and its secret`() throws {
        // given
        let message = TextMessage("hello", random: ConstantRandom()).message
        // when
        let copy = try WAMessage(wire: message.sent(to: .lid("1234", device: 4)).wireBytes)
        // then
        #expect(copy.deviceSentMessage.destinationJid == "1234@lid")
        #expect(copy.deviceSentMessage.message == message)
        #expect(copy.messageContextInfo == message.messageContextInfo)
        #expect(copy.text == "hello")
        #expect(!TextMessage("hello").message.sent(to: .lid("1234")).hasMessageContextInfo)
    }

    @Test func `fields that the schema leaves out are dropped`() throws {
        let known = TextMessage("hello").message.wireBytes
        #expect(try WAMessage(wire: known + [0x9A, 0x03, 1, 65]).wireBytes == known)
    }

    @Test func `messages nested without end are refused`() throws {
        var bytes = TextMessage("hello").message.wireBytes
        for _ in 0..<200 {
            let inner = try WAMessage.wrapping(bytes)
            bytes = inner
        }
        #expect(throws: WireError(.malformed, "protobuf")) { try WAMessage(wire: bytes) }
    }

    @Test func `a server reads what a client says`() throws {
        let registration = ClientPayload.registration(keys, version: .known, profile: profile)
        let login = try ClientPayload.login(.phone("15551234567", device: 12), version: .known, profile: profile, pushName: "Shop")

        #expect(try ClientPayload.parse(registration) == .init(kind: .registration(keys, name: "Gateway"), version: .known, isPassive: false))
        #expect(try ClientPayload.parse(login) == .init(kind: .login(.phone("15551234567", device: 12)), version: .known, isPassive: true))
        #expect(throws: WireError.self) { try ClientPayload.login(.server, version: .known, profile: profile) }
        #expect(throws: WireError.self) { try ClientPayload.parse([]) }
    }

    @Test func `a damaged payload never traps, and no other key is read from it`() throws {
        let registration = ClientPayload.registration(keys, version: .known, profile: profile)
        forEachDamaged(registration) { bytes in
            do {
                if case .registration(let read, _) = try ClientPayload.parse(bytes).kind { #expect(read.signedPreKey == keys.signedPreKey) }
            } catch {
                #expect((error as? WireError)?.code == .malformed)
            }
        }
    }

    @Test func `damaged messages never trap`() throws {
        let message = TextMessage("hello", context: WAContextInfo(), random: ConstantRandom()).message.sent(to: .lid("1"))
        forEachDamaged(message.wireBytes) { bytes in
            do { _ = try WAMessage(wire: bytes).wireBytes } catch { #expect((error as? WireError)?.code == .malformed) }
        }
    }

    @Test func `a version is read, compared and refused when it is none`() {
        #expect(ClientVersion("2.3000.1045649367") == .known)
        #expect(ClientVersion(2, 3000, 9) < ClientVersion(2, 3000, 10))
        for text in ["", "2.3000", "2.3000.1.1", "2.3000.-1", "2.3000.4294967296", "2..1", "a.b.c"] { #expect(ClientVersion(text) == nil) }
    }
}

extension WAMessage {
    /// `bytes` as the content of a view-once wrapper (field 37, and field 1 inside it), without parsing them.
    fileprivate static func wrapping(_ bytes: [UInt8]) throws -> [UInt8] {
        func field(_ tag: [UInt8], _ content: [UInt8]) -> [UInt8] {
            var length: [UInt8] = []
            var rest = content.count
            while rest > 127 {
                length.append(UInt8(rest & 127) | 128)
                rest >>= 7
            }
            return tag + length + [UInt8(rest)] + content
        }
        return field([0xAA, 0x02], field([0x0A], bytes))
    }
}
