/// The padding around a serialized message before it is encrypted: k bytes of value k, which hides its exact length (protocol.md 10.4).
package enum MessagePadding {
    /// Pads with 1 to 15 bytes; which of them, the low half of `random` decides, 0 meaning 15.
    package static func pad(_ message: [UInt8], random: UInt8) -> [UInt8] {
        let amount = random & 15 == 0 ? 15 : random & 15
        return message + [UInt8](repeating: amount, count: Int(amount))
    }

    /// Takes the padding off: as many bytes as the last one says, all alike. Peers may choose any amount up to 255; a last byte 0 means none.
    /// Throws `padding` when it is damaged or there is nothing at all. Version 3 of an `enc` node has no padding.
    package static func unpad(_ padded: [UInt8], version: Int = 2) throws(WireError) -> [UInt8] {
        if version >= 3 { return padded }
        guard let amount = padded.last, Int(amount) <= padded.count else { throw WireError(.padding, "shorter than its padding") }
        let end = padded.count - Int(amount)
        guard padded[end...].allSatisfy({ $0 == amount }) else { throw WireError(.padding, "bytes differ") }
        return Array(padded[..<end])
    }
}
