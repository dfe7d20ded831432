@testable import Domain
import Foundation
import Primitives
import Testing

@Suite struct WebhookValueTests {
    /// Two random bytes that draw the smallest or the largest jitter.
    private struct FixedRandom: RandomSource {
        let byte: UInt8
        func bytes(_ count: Int) -> [UInt8] { [UInt8](repeating: byte, count: count) }
    }

    @Test func `tries are spread over 75 hours at least, and 95 at most`() {
        for (byte, range) in [(UInt8(0), 75.0...76.0), (255, 90.0...95.0)] {
            let delays = (1...9).map { WebhookSchedule.delay(afterTry: $0, random: FixedRandom(byte: byte)) ?? -1 }
            #expect(range.contains(delays.reduce(0, +) / 3_600), "\(delays)")
            #expect(zip(delays, WebhookSchedule.delays).allSatisfy { ($1...($1 * 1.2)).contains($0) })
            #expect(WebhookSchedule.delay(afterTry: 10, random: FixedRandom(byte: byte)) == nil)
        }
        #expect(WebhookSchedule.delay(afterTry: 5, isVerification: true, random: FixedRandom(byte: 0)) == nil)
        #expect(WebhookSchedule.delay(afterTry: 0, random: FixedRandom(byte: 0)) == nil)
    }

    @Test func `a longer wait that the receiver asks for is kept, up to a day`() {
        let none = FixedRandom(byte: 0)
        #expect(WebhookSchedule.delay(afterTry: 1, asked: 120, random: none) == 120)
        #expect(WebhookSchedule.delay(afterTry: 3, asked: 120, random: none) == 1_800)
        #expect(WebhookSchedule.delay(afterTry: 1, asked: 1e9, random: none) == 86_400)
    }

    @Test func `an endpoint that keeps failing is left alone for longer and longer, up to a quarter of an hour`() {
        #expect((0...4).map(WebhookSchedule.pause) == [0, 0, 0, 0, 0])
        #expect((5...11).map(WebhookSchedule.pause) == [30, 60, 120, 240, 480, 900, 900])
        #expect(WebhookSchedule.pause(failures: .max) == 900)
    }

    @Test func `every state of a message and of a sender is a type of event`() {
        let types = Set(EventType.allCases.map(\.rawValue))
        for kind in MessageEvent.Kind.allCases where kind != .scheduled { #expect(types.contains("message.\(kind.rawValue)"), "\(kind)") }
        for state in SenderState.allCases { #expect(types.contains("sender.\(state.rawValue)"), "\(state)") }
        #expect(types.count == MessageEvent.Kind.allCases.count - 1 + SenderState.allCases.count + 4)
        #expect(Set(EventType.allCases).subtracting(EventType.logged) == [.endpointVerification, .endpointTest])
    }

    /// The example of the Standard Webhooks specification (spec/standard-webhooks.md of standard-webhooks/standard-webhooks, and the vector that its
    /// reference libraries share).
    @Test func `signatures are those of the specification's vectors`() throws {
        let key = try #require(Data(base64Encoded: "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
        let secret = try #require(WebhookSecret(.symmetric, copying: Array(key)))
        let body = Array(#"{"test": 2432232314}"#.utf8)
        #expect(secret.reveal() == "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        #expect(
            secret.signature(id: "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp: 1_614_265_330, body: body)
                == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
    }

    @Test func `an ed25519 signature is over the same bytes and verifies with the key that is shown, and no other`() throws {
        let secret = WebhookSecret(.ed25519, random: SystemRandom())
        let signature = secret.signature(id: "evt_1", timestamp: 17, body: [1, 2])
        let shown = secret.reveal()
        let key = Array(try #require(Data(base64Encoded: String(shown.dropFirst(5)))))
        let bytes = Array(try #require(Data(base64Encoded: String(signature.dropFirst(4)))))

        #expect(shown.hasPrefix("whpk_") && signature.hasPrefix("v1a,") && key.count == 32)
        #expect(Ed25519.isValid(bytes, for: Array("evt_1.17.".utf8) + [1, 2], publicKey: key))
        #expect(!Ed25519.isValid(bytes, for: Array("evt_1.18.".utf8) + [1, 2], publicKey: key))
        #expect(!Ed25519.isValid(bytes, for: Array("evt_1.17.".utf8) + [1, 2], publicKey: key.reversed()))
        #expect(!Ed25519.isValid(Array(bytes.dropLast()), for: [], publicKey: key) && !Ed25519.isValid(bytes, for: [], publicKey: []))
    }

    /// RFC 8032 §7.1, test 2.
    @Test func `ed25519 signs as RFC 8032 does`() throws {
        let seed = SecretBytes(copying: try #require(Hex.decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")))
        #expect(Hex.encode(Ed25519.publicKey(seed: seed)) == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
        #expect(
            Hex.encode(Ed25519.signature(for: [0x72], seed: seed))
                == "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
    }

    @Test func `a secret does not print itself`() {
        let secret = WebhookSecret(.symmetric, random: SystemRandom())
        #expect("\(secret)" == "WebhookSecret(redacted)" && Mirror(reflecting: secret).children.isEmpty)
        #expect(WebhookSecret(.symmetric, copying: [UInt8](repeating: 0, count: 23)) == nil)
        #expect(WebhookSecret(.ed25519, copying: [UInt8](repeating: 0, count: 24)) == nil)
    }

    @Test func `a payload says when it happened to the millisecond`() throws {
        let id = Event.ID.make(at: .distantPast, random: SystemRandom())
        for (seconds, text) in [
            (0.0, "1970-01-01T00:00:00.000Z"), (1_780_000_000.001, "2026-05-28T20:26:40.001Z"), (1_780_000_000.9996, "2026-05-28T20:26:41.000Z"),
        ] {
            let record = EventRecord(id: id, type: "sender.ready", at: Date(timeIntervalSince1970: seconds), isTest: false)
            #expect(record.payload.timestamp == text)
        }
    }
}
