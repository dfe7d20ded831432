package import Primitives

/// What a member needs to read a sender's group messages, `33 | protobuf` (protocol.md 11). Travels inside a pairwise message, which authenticates it.
package struct SenderKeyDistribution: Sendable, CustomStringConvertible {
    package let keyID: UInt32
    /// The first message it can read.
    package let iteration: UInt32
    let chainKey: [UInt8]
    package let signingKey: PublicKey

    init(keyID: UInt32, iteration: UInt32, chainKey: [UInt8], signingKey: PublicKey) {
        self.keyID = keyID
        self.iteration = iteration
        self.chainKey = chainKey
        self.signingKey = signingKey
    }

    /// - Throws: `malformedMessage`, `unsupportedVersion`, `invalidKey`. All four fields are required, but an absent iteration is zero.
    package init(parsing bytes: [UInt8]) throws(SignalError) {
        guard let version = bytes.first, bytes.count > 1 else { throw SignalError(.malformedMessage) }
        guard version >> 4 == 3 else { throw SignalError(.unsupportedVersion) }
        var reader = try ProtobufReader(bytes, 1..<bytes.count)
        var keyID: UInt32?
        var iteration: UInt32 = 0
        var chainKey: [UInt8] = []
        var signingKey: PublicKey?
        while let field = try reader.next() {
            switch field.number {
            case 1: keyID = try field.number32()
            case 2: iteration = try field.number32()
            case 3: chainKey = Array(bytes[try field.range()])
            case 4: signingKey = try PublicKey(peer: bytes[try field.range()])
            default: continue
            }
        }
        guard let keyID, let signingKey, chainKey.count == 32 else { throw SignalError(.malformedMessage) }
        self.init(keyID: keyID, iteration: iteration, chainKey: chainKey, signingKey: signingKey)
    }

    package func encoded() -> [UInt8] {
        var writer = ProtobufWriter(prefix: SignalMessage.versionByte, capacity: 90)
        writer.append(1, keyID)
        writer.append(2, iteration)
        writer.append(3, chainKey)
        writer.append(4, signingKey.typed)
        return writer.bytes
    }

    package var description: String { "SenderKeyDistribution(redacted)" }
}

/// A group message on the wire, type `skmsg`: `33 | protobuf | signature (64)` over everything before it (protocol.md 11).
struct SenderKeyMessage {
    static let signatureLength = 64

    let keyID: UInt32
    let iteration: UInt32
    let ciphertext: [UInt8]
    private let bytes: [UInt8]

    init(parsing bytes: [UInt8]) throws(SignalError) {
        guard let version = bytes.first, bytes.count > 1 + Self.signatureLength else { throw SignalError(.malformedMessage) }
        guard version >> 4 == 3 else { throw SignalError(.unsupportedVersion) }
        var reader = try ProtobufReader(bytes, 1..<bytes.count - Self.signatureLength)
        var keyID: UInt32?
        var iteration: UInt32 = 0
        var ciphertext: Range<Int>?
        while let field = try reader.next() {
            switch field.number {
            case 1: keyID = try field.number32()
            case 2: iteration = try field.number32()
            case 3: ciphertext = try field.range()
            default: continue
            }
        }
        guard let keyID, let ciphertext else { throw SignalError(.malformedMessage) }
        self.keyID = keyID
        self.iteration = iteration
        self.ciphertext = Array(bytes[ciphertext])
        self.bytes = bytes
    }

    func isSigned(by key: PublicKey) -> Bool {
        let split = bytes.count - Self.signatureLength
        return key.isValidSignature(Array(bytes[split...]), for: Array(bytes[..<split]))
    }

    /// The complete message. Draws the signature's 64 bytes from `random`.
    static func encode(keyID: UInt32, iteration: UInt32, ciphertext: [UInt8], signingKey: PrivateKey, random: any RandomSource) -> [UInt8] {
        var writer = ProtobufWriter(prefix: SignalMessage.versionByte, capacity: ciphertext.count + 90)
        writer.append(1, keyID)
        writer.append(2, iteration)
        writer.append(3, ciphertext)
        writer.append(raw: signingKey.signature(for: writer.bytes, random: random))
        return writer.bytes
    }
}
