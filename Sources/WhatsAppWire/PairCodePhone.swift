package import Primitives

/// The phone's side of a pairing by code, for the simulator (protocol.md 6.5). One value per typed code.
package struct PairCodePhone: Sendable {
    private let identity: PrivateKey
    private let ephemeral: PrivateKey
    private let companionEphemeral: PublicKey
    private let reference: [UInt8]
    private let wrapped: [UInt8]

    /// The companion's Noise key, as its hello gave it.
    package let companionNoiseKey: PublicKey

    /// The user typed `code` for the attempt that `hello` began and the server called `reference`.
    /// Draws the ephemeral key, the salt and the iv. A wrong code shows only in `received(finish:)`. Takes tens of milliseconds, twice.
    /// - Throws: `pairing` when the hello is incomplete.
    package init(
        hello: Node, reference: [UInt8], code: PairCode, identity: PrivateKey, random: any RandomSource
    ) throws(WireError) {
        try self.init(hello: hello, reference: reference, code: code, identity: identity, random: random, rounds: PairCode.protocolRounds)
    }

    init(
        hello: Node, reference: [UInt8], code: PairCode, identity: PrivateKey, random: any RandomSource, rounds: Int
    ) throws(WireError) {
        guard let content = hello.child(PairCodeCompanion.tag), content.string("stage") == "companion_hello",
            let wrapped = content.child("link_code_pairing_wrapped_companion_ephemeral_pub")?.contentBytes,
            let noiseKey = content.child("companion_server_auth_key_pub")?.contentBytes
        else { throw WireError(.pairing, "companion hello is incomplete") }
        companionNoiseKey = try PublicKey(pairing: noiseKey)
        companionEphemeral = try code.unwrap(wrapped, rounds: rounds)
        self.identity = identity
        self.reference = reference
        ephemeral = PrivateKey(random: random)
        let salt = random.bytes(32)
        let iv = random.bytes(16)
        self.wrapped = try code.wrap(ephemeral.publicKey, salt: salt, iv: iv, rounds: rounds)
    }

    /// The notification that takes the phone's keys to the companion.
    /// - Parameter time: Unix seconds, the server's.
    package func notification(id: String, time: Int64) -> Node {
        let content = Node(
            PairCodeCompanion.tag, ["stage": "primary_hello"],
            children: [
                Node("link_code_pairing_ref", bytes: reference),
                Node("link_code_pairing_wrapped_primary_ephemeral_pub", bytes: wrapped),
                Node("primary_identity_pub", bytes: identity.publicKey.bytes),
            ])
        return Node(
            "notification", ["from": .jid(.server), "type": .string(PairCodeCompanion.tag), "id": .string(id), "t": .number(time)],
            children: [content])
    }

    /// Opens the companion's bundle.
    /// - Returns: The companion's identity key and the secret of the ADV container to be made for it (`PhonePairing.container`).
    /// - Throws: `authenticationFailed` when the code was wrong; `pairing`.
    package func received(finish: Node) throws(WireError) -> (companion: PublicKey, advSecret: [UInt8]) {
        guard let content = finish.child(PairCodeCompanion.tag), content.string("stage") == "companion_finish",
            content.child("link_code_pairing_ref")?.contentBytes == reference,
            let bundle = content.child("link_code_pairing_wrapped_key_bundle")?.contentBytes,
            let claimed = content.child("companion_identity_public")?.contentBytes
        else { throw WireError(.pairing, "companion finish is incomplete") }
        let ephemeralShared = try PairCodeBundle.agree(ephemeral, companionEphemeral)
        let (companion, phone, random) = try PairCodeBundle.open(bundle, shared: ephemeralShared)
        guard companion.bytes == claimed, phone == identity.publicKey else { throw WireError(.pairing, "key bundle differs") }
        let identityShared = try PairCodeBundle.agree(identity, companion)
        return (companion, try PairCodeBundle.advSecret(ephemeral: ephemeralShared, identity: identityShared, random: random))
    }
}

extension PairCodePhone: CustomStringConvertible, CustomReflectable {
    package var description: String { "PairCodePhone(redacted)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
