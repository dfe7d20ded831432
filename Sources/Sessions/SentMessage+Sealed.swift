import Foundation
import WhatsApp
import WhatsAppWire

/// A sent plaintext as bytes to seal: a length-prefixed JSON header, then the serialized `Message`.
extension SentMessage {
    private struct Header: Codable {
        var recipient: String
        var number: String
        var type: String
        var media: String?
        /// Bytes of the `Message`, so that a shortened one is noticed.
        var size: Int
    }

    struct Malformed: Error {}

    func sealedForm() throws -> [UInt8] {
        let header = Array(
            try JSONEncoder().encode(
                Header(recipient: recipient.description, number: number, type: stanzaType, media: mediaType, size: message.count)))
        return withUnsafeBytes(of: UInt32(header.count).bigEndian) { Array($0) } + header + message
    }

    init(sealedForm bytes: [UInt8], id: String) throws {
        guard bytes.count >= 4 else { throw Malformed() }
        let length = Int(bytes.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) })
        guard bytes.count - 4 >= length else { throw Malformed() }
        let header = try JSONDecoder().decode(Header.self, from: Data(bytes[4..<4 + length]))
        guard header.size == bytes.count - 4 - length, let recipient = JID(header.recipient) else { throw Malformed() }
        self.init(
            id: id, recipient: recipient, number: header.number, message: Array(bytes[(4 + length)...]), stanzaType: header.type,
            mediaType: header.media)
    }
}
