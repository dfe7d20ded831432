import Primitives
import Testing

@testable import Secrets

@Suite struct APIKeySecretTests {
    @Test(arguments: APIKeySecret.Mode.allCases) func `a key has 69 characters and reads back`(mode: APIKeySecret.Mode) throws {
        let key = APIKeySecret.generate(mode)
        let text = key.reveal()

        #expect(text.utf8.count == 69 && APIKeySecret.length == 69)
        #expect(text.hasPrefix(mode.prefix + key.publicID))
        let read = try APIKeySecret.parse(text)
        #expect(read.mode == mode && read.publicID == key.publicID)
        #expect(read.reveal() == text)
    }

    @Test func `every changed character is noticed before any hashing`() throws {
        let text = Array(APIKeySecret.generate(.live).reveal().utf8)

        for index in text.indices {
            for character in [text[index] == 0x41 ? 0x42 : 0x41, 0x2D, 0xC3] as [UInt8] {
                var changed = text
                changed[index] = character
                #expect(throws: InvalidAPIKey.self) { try APIKeySecret.parse(String(decoding: changed, as: UTF8.self)) }
            }
        }
    }

    @Test func `each mistake has its name`() throws {
        let text = APIKeySecret.generate(.test).reveal()
        let last = text.last == "A" ? "B" : "A"

        for wrong in ["", "wg_", "sk_live_" + text.dropFirst(8), " " + text, "wg_LIVE_" + text.dropFirst(8)] {
            #expect(throws: InvalidAPIKey.badPrefix) { try APIKeySecret.parse(wrong) }
        }
        for wrong in [String(text.dropLast()), text + "0", "wg_test_", text + String(repeating: "x", count: 100_000)] {
            #expect(throws: InvalidAPIKey.badLength) { try APIKeySecret.parse(wrong) }
        }
        #expect(throws: InvalidAPIKey.badAlphabet) { try APIKeySecret.parse(text.dropLast(2) + "-A") }
        #expect(throws: InvalidAPIKey.badChecksum) { try APIKeySecret.parse(text.dropLast() + last) }
        #expect(throws: InvalidAPIKey.badChecksum) { try APIKeySecret.parse("wg_live_" + text.dropFirst(8)) }
    }

    @Test func `a secret beyond 256 bits is refused although its checksum fits`() {
        let body = "wg_live_" + String(repeating: "0", count: 12) + String(repeating: "z", count: 43)
        let checksum = Base62.encode(withUnsafeBytes(of: CRC32.checksum(body.utf8).bigEndian) { [UInt8]($0) }, digits: 6)

        #expect(throws: InvalidAPIKey.badAlphabet) { try APIKeySecret.parse(body + String(decoding: checksum, as: UTF8.self)) }
    }

    @Test func `the checksum is the usual CRC-32`() {
        #expect(CRC32.checksum("123456789".utf8) == 0xCBF4_3926)
        #expect(CRC32.checksum([]) == 0)
    }

    @Test func `base 62 keeps the largest 256-bit number`() {
        for bytes in [[UInt8](repeating: 0xFF, count: 32), [UInt8](repeating: 0, count: 32), SystemRandom().bytes(32)] {
            #expect(Base62.decode(Base62.encode(bytes, digits: 43), count: 32) == bytes)
        }
    }

    @Test func `a key is printed redacted everywhere`() {
        let key = APIKeySecret.generate(.live)
        var dumped = ""
        dump(key, to: &dumped)

        for text in ["\(key)", String(reflecting: key), dumped] {
            #expect(!text.contains(key.publicID) && !text.contains(key.reveal()))
        }
    }

    @Test func `the pepper decides what is hashed`() throws {
        let key = APIKeySecret.generate(.live)
        let (one, two) = (SecretBytes(count: 32, random: SystemRandom()), SecretBytes(count: 32, random: SystemRandom()))

        #expect(key.peppered(with: one).matches(try APIKeySecret.parse(key.reveal()).peppered(with: one)))
        #expect(!key.peppered(with: one).matches(key.peppered(with: two)))
        #expect(key.peppered(with: one).count == 32)
    }
}
