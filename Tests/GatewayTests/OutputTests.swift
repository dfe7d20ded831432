import Foundation
import Testing
import Web

@testable import gateway

@Suite struct OutputTests {
    /// Line ends of every kind, a terminal's escape, a null, and quotes.
    private static let hostile = "a\r\nb\u{1B}[31m\u{0}\u{85}\u{2028}\u{2029}\u{7F}\"\\c"

    @Test func `A text line stays one line without control characters`() {
        let output = LogOutput(label: "gateway", level: .info, isJSON: false)
        let line = output.line("now", "info", Self.hostile, [("k\n", Self.hostile)])
        #expect(line.unicodeScalars.allSatisfy { !$0.properties.isDefaultIgnorableCodePoint && $0.properties.generalCategory != .control })
        #expect(!line.contains { $0.isNewline })
        #expect(line.hasPrefix("now info a"))
    }

    @Test func `A JSON line is one object that gives back what was logged`() throws {
        let output = LogOutput(label: "gateway", level: .info, isJSON: true)
        let line = output.line("now", "info", Self.hostile, [("k\n", Self.hostile)])
        #expect(!line.contains { $0.isNewline })
        let object = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
        #expect(object == ["time": "now", "level": "info", "room": "gateway", "event": Self.hostile, "k\n": Self.hostile])
    }

    @Test func `A QR code has the sizes that the standard asks for`() throws {
        let code = try #require(QRCode("HELLO"))
        #expect(code.width == 21)
        #expect(code.svg.contains("viewBox=\"0 0 29 29\""))
        let lines = code.terminal.split(separator: "\n")
        #expect(lines.count == 13)
        #expect(lines.allSatisfy { $0.count == 25 })
    }

    @Test func `A pairing text fits, what fits no symbol gives nil`() {
        #expect(QRCode(String(repeating: "A", count: 240)) != nil)
        #expect(QRCode(String(repeating: "A", count: 3_000)) == nil)
    }
}
