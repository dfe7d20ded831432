import WhatsApp
import WhatsAppWire

/// A sent plaintext as bytes to seal. Once per message, so written by hand:
///
///     1 | recipient | number | type | flag (1): a media type follows | [media type] | message
///
/// each part with its length in front, 4 bytes, big endian.
extension SentMessage {
    struct Malformed: Error {}

    private static let version: UInt8 = 1

    func sealedForm() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(message.count + 96)
        bytes.append(Self.version)
        for text in [recipient.description, number, stanzaType] { bytes.append(part: text.utf8) }
        bytes.append(mediaType == nil ? 0 : 1)
        if let mediaType { bytes.append(part: mediaType.utf8) }
        bytes.append(part: message)
        return bytes
    }

    /// - Throws: `Malformed` for anything that `sealedForm()` did not write.
    init(sealedForm bytes: [UInt8], id: String) throws {
        var rest = bytes[...]
        guard rest.popFirst() == Self.version else { throw Malformed() }
        let recipient = JID(try rest.takeText())
        let number = try rest.takeText()
        let type = try rest.takeText()
        var mediaType: String?
        switch rest.popFirst() {
        case 0: break
        case 1: mediaType = try rest.takeText()
        default: throw Malformed()
        }
        let message = try rest.takePart()
        guard let recipient, rest.isEmpty else { throw Malformed() }
        self.init(id: id, recipient: recipient, number: number, message: Array(message), stanzaType: type, mediaType: mediaType)
    }
}

extension [UInt8] {
    fileprivate mutating func append(part: some Collection<UInt8>) {
        Swift.withUnsafeBytes(of: UInt32(truncatingIfNeeded: part.count).bigEndian) { append(contentsOf: $0) }
        append(contentsOf: part)
    }
}

extension ArraySlice<UInt8> {
    fileprivate mutating func takePart() throws -> ArraySlice<UInt8> {
        guard count >= 4 else { throw SentMessage.Malformed() }
        let length = Int(prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) })
        guard count - 4 >= length else { throw SentMessage.Malformed() }
        defer { removeFirst(4 + length) }
        return dropFirst(4).prefix(length)
    }

    fileprivate mutating func takeText() throws -> String {
        guard let text = String(validating: try takePart(), as: UTF8.self) else { throw SentMessage.Malformed() }
        return text
    }
}
