import Primitives
import Testing

@testable import WhatsAppWire

@Suite struct PairCodeTests {
    private let reference = Array("2@reference".utf8)

    /// A pairing up to the phone's notification, with few rounds so that many can be tried.
    private func pairing(typed: String? = nil) throws -> (companion: PairCodeCompanion, phone: PairCodePhone) {
        let request = PairCodeCompanion.Request(number: "15551234567", noiseKey: try key(1).publicKey, identity: try key(2))
        var companion = try PairCodeCompanion(request, random: ConstantRandom(byte: 3), rounds: 2)
        guard let code = PairCode(typed ?? companion.code.displayText) else { throw WireError(.pairing, "code of a test") }
        let answer = Node(
            "iq", ["type": "result"], children: [Node("link_code_companion_reg", children: [Node("link_code_pairing_ref", bytes: reference)])])
        try companion.received(helloAnswer: answer)
        let phone = try PairCodePhone(
            hello: companion.hello(id: "1"), reference: reference, code: code, identity: try key(4), random: ConstantRandom(byte: 5), rounds: 2)
        return (companion, phone)
    }

    @Test func `code, key and encryption are those of protocol appendix C5`() throws {
        let code = PairCode(bytes: try hex("0011223344"))
        #expect(code.text == "119K5DT5")
        #expect(code.displayText == "119K-5DT5")
        let salt = [UInt8](0..<32)
        #expect(Hex.encode(try code.key(salt: salt)) == "03170160067e84fedead502783a1156a3ab5dd3ccb00f1b1060fd6185c9fee3d")
        let nine = try PublicKey([9] + [UInt8](repeating: 0, count: 31))
        let wrapped = try code.wrap(nine, salt: salt, iv: [UInt8](0..<16), rounds: PairCode.protocolRounds)
        #expect(Hex.encode(Array(wrapped[48...])) == "7ad58839b442d105c53c2e60bd79a99a18b410d1536326bd41d9433585b16965")
        #expect(try code.unwrap(wrapped, rounds: PairCode.protocolRounds) == nine)
    }

    @Test func `both sides draw the same secret`() throws {
        // given
        let (companion, phone) = try pairing()
        // when
        let (finish, secret) = try companion.finish(phone.notification(id: "2", time: 7), id: "3", random: ConstantRandom())
        let received = try phone.received(finish: finish)
        // then
        #expect(received.advSecret == secret)
        #expect(try received.companion == key(2).publicKey)
        #expect(try phone.companionNoiseKey == key(1).publicKey)
    }

    @Test func `a wrong code is noticed by the phone`() throws {
        let (companion, phone) = try pairing(typed: "1111-1112")
        let (finish, _) = try companion.finish(phone.notification(id: "2", time: 7), id: "3", random: ConstantRandom())
        #expect(throws: WireError(.authenticationFailed, "key bundle")) { try phone.received(finish: finish) }
    }

    @Test(arguments: ["1111-111", "1111-11110", "IIII-IIII", "1111-111O", "", "1111 111ü"])
    func `text that cannot be a code is none`(_ text: String) {
        #expect(PairCode(text) == nil)
    }

    @Test(arguments: ["", "0155512345", "123456", "1555123456x", "+15551234567"])
    func `a number that is none is refused`(_ number: String) throws {
        let request = PairCodeCompanion.Request(number: number, noiseKey: try key(1).publicKey, identity: try key(2))
        #expect(throws: WireError(.pairing, "phone number")) { try PairCodeCompanion(request, random: ConstantRandom(), rounds: 1) }
    }

    @Test func `an answer that refuses, another reference and a weak key are refused`() throws {
        var (companion, phone) = try pairing()
        #expect(throws: WireError(.pairing, "code was refused")) { try companion.received(helloAnswer: Node("iq", ["type": "error"])) }

        var notification = phone.notification(id: "2", time: 7)
        let other = Node("link_code_pairing_ref", bytes: [1])
        notification.content = .nodes([Node("link_code_companion_reg", ["stage": "primary_hello"], children: [other])])
        #expect(throws: WireError(.pairing, "another reference")) { try companion.finish(notification, id: "3", random: ConstantRandom()) }

        let weak = Node("primary_identity_pub", bytes: [UInt8](repeating: 0, count: 32))
        let kept = phone.notification(id: "2", time: 7).child("link_code_companion_reg")?.children.dropLast() ?? []
        notification.content = .nodes([Node("link_code_companion_reg", ["stage": "primary_hello"], children: kept + [weak])])
        #expect(throws: WireError(.pairing, "key agreement")) { try companion.finish(notification, id: "3", random: ConstantRandom()) }
    }

    @Test func `a damaged notification never traps`() throws {
        // given
        let (companion, phone) = try pairing()
        let frame = try NodeCodec.encode(phone.notification(id: "2", time: 7))
        let (_, secret) = try companion.finish(phone.notification(id: "2", time: 7), id: "3", random: ConstantRandom())
        var refused = 0
        // when
        forEachDamaged(frame) { bytes in
            do {
                let result = try companion.finish(try NodeCodec.decode(frame: bytes), id: "3", random: ConstantRandom())
                // A changed wrapped key cannot be told from a good one here: the phone notices.
                #expect(result.advSecret.count == secret.count)
            } catch {
                refused += 1
            }
        }
        // then
        #expect(refused > 5000)
    }

    @Test func `a damaged finish leads the phone to an error or to the same secret`() throws {
        // given
        let (companion, phone) = try pairing()
        let (finish, secret) = try companion.finish(phone.notification(id: "2", time: 7), id: "3", random: ConstantRandom())
        // then
        forEachDamaged(try NodeCodec.encode(finish), seed: 8) { bytes in
            do {
                #expect(try phone.received(finish: try NodeCodec.decode(frame: bytes)).advSecret == secret)
            } catch {
                #expect(error is WireError)
            }
        }
    }
}
