package import Primitives

/// A pairwise message on the wire, type `msg`: `33 | protobuf | 8-byte MAC` (protocol.md 9.7). Parsing authenticates nothing.
package struct SignalMessage: Sendable {
    static let macLength = 8
    /// Version 3 in both nibbles; readers look at the high one.
    static let versionByte: UInt8 = 0x33

    package let ratchetKey: PublicKey
    package let counter: UInt32
    /// The sender's bookkeeping; nobody reads it when decrypting.
    package let previousCounter: UInt32
    package let ciphertext: [UInt8]
    /// As received, MAC included.
    let bytes: [UInt8]

    /// - Throws: `malformedMessage`, `unsupportedVersion`, `invalidKey`. An absent counter is zero; unknown fields are passed over, for the MAC covers them.
    package init(parsing bytes: [UInt8]) throws(SignalError) {
        guard let version = bytes.first, bytes.count > 1 + Self.macLength else { throw SignalError(.malformedMessage) }
        guard version >> 4 == 3 else { throw SignalError(.unsupportedVersion) }
        var reader = try ProtobufReader(bytes, 1..<bytes.count - Self.macLength)
        var key: PublicKey?
        var counter: UInt32 = 0
        var previousCounter: UInt32 = 0
        var ciphertext: Range<Int>?
        while let field = try reader.next() {
            switch field.number {
            case 1: key = try PublicKey(peer: bytes[try field.range()])
            case 2: counter = try field.number32()
            case 3: previousCounter = try field.number32()
            case 4: ciphertext = try field.range()
            default: continue
            }
        }
        guard let key, let ciphertext else { throw SignalError(.malformedMessage) }
        ratchetKey = key
        self.counter = counter
        self.previousCounter = previousCounter
        self.ciphertext = Array(bytes[ciphertext])
        self.bytes = bytes
    }

    /// The complete message, ready to send. All four fields are always written, in this order.
    static func encode(
        ratchetKey: PublicKey, counter: UInt32, previousCounter: UInt32, ciphertext: [UInt8], macKey: [UInt8], sender: PublicKey, receiver: PublicKey
    ) -> [UInt8] {
        var writer = ProtobufWriter(prefix: versionByte, capacity: ciphertext.count + 64)
        writer.append(1, ratchetKey.typed)
        writer.append(2, counter)
        writer.append(3, previousCounter)
        writer.append(4, ciphertext)
        writer.append(raw: mac(writer.bytes[...], key: macKey, sender: sender, receiver: receiver))
        return writer.bytes
    }

    /// Whether the MAC over the bytes as received is right. Takes the same time wherever it differs.
    func isAuthentic(macKey: [UInt8], sender: PublicKey, receiver: PublicKey) -> Bool {
        let split = bytes.count - Self.macLength
        return constantTimeEqual(Self.mac(bytes[..<split], key: macKey, sender: sender, receiver: receiver), Array(bytes[split...]))
    }

    private static func mac(_ message: ArraySlice<UInt8>, key: [UInt8], sender: PublicKey, receiver: PublicKey) -> [UInt8] {
        var input: [UInt8] = []
        input.reserveCapacity(66 + message.count)
        input += sender.typed
        input += receiver.typed
        input += message
        return Array(HMAC256.authenticate(input, key: key).prefix(macLength))
    }
}

extension PublicKey {
    /// A 33-byte key that a peer wrote; anything else is `invalidKey`.
    init(peer bytes: ArraySlice<UInt8>) throws(SignalError) {
        do { try self.init(typed: Array(bytes)) } catch { throw SignalError(.invalidKey) }
    }
}
