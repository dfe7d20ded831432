package import Primitives

/// The companion's side of a pairing by code, for one attempt. Each step is called once, in order; the caller adds the ids, sends and acks
/// (protocol.md 6.5).
package struct PairCodeCompanion: Sendable {
    /// Who pairs, and how it presents itself to the phone.
    package struct Request: Sendable {
        /// Digits of the account's number: international, more than 6, not starting with 0.
        package var number: String
        package var noiseKey: PublicKey
        package var identity: PrivateKey
        package var client: CompanionPairing.ClientType
        /// `Browser (OS)` with a common browser and OS; the server refuses others.
        package var display: String
        package var showsPushNotification: Bool

        package init(
            number: String, noiseKey: PublicKey, identity: PrivateKey, client: CompanionPairing.ClientType = .chrome,
            display: String = "Chrome (Linux)", showsPushNotification: Bool = true
        ) {
            self.number = number
            self.noiseKey = noiseKey
            self.identity = identity
            self.client = client
            self.display = display
            self.showsPushNotification = showsPushNotification
        }
    }

    static let tag = "link_code_companion_reg"

    private let request: Request
    private let ephemeral: PrivateKey
    private let wrapped: [UInt8]
    private var reference: [UInt8]?
    private let rounds: Int
    /// To be shown after `received(helloAnswer:)` went well.
    package let code: PairCode

    /// Draws the ephemeral key, the salt, the iv and the code, in this order. Takes tens of milliseconds (`PairCode.key`).
    /// - Throws: `pairing` when the number is none.
    package init(_ request: Request, random: any RandomSource) throws(WireError) {
        try self.init(request, random: random, rounds: PairCode.protocolRounds)
    }

    init(_ request: Request, random: any RandomSource, rounds: Int) throws(WireError) {
        guard request.number.utf8.count > 6, UInt64(digits: request.number) != nil, request.number.first != "0" else {
            throw WireError(.pairing, "phone number")
        }
        self.request = request
        self.rounds = rounds
        ephemeral = PrivateKey(random: random)
        let salt = random.bytes(32)
        let iv = random.bytes(16)
        code = PairCode(random: random)
        wrapped = try code.wrap(ephemeral.publicKey, salt: salt, iv: iv, rounds: rounds)
    }

    /// Stage 1, to be sent after the pair-device stanza came.
    package func hello(id: String) -> Node {
        iq(
            id, stage: "companion_hello", showsPush: request.showsPushNotification,
            [
                Node("link_code_pairing_wrapped_companion_ephemeral_pub", bytes: wrapped),
                Node("companion_server_auth_key_pub", bytes: request.noiseKey.bytes),
                Node("companion_platform_id", text: request.client.rawValue),
                Node("companion_platform_display", text: request.display),
                Node("link_code_pairing_nonce", bytes: [0]),
            ])
    }

    /// Keeps the reference from the server's answer to `hello`.
    /// - Throws: `pairing` when the server refused or gave none.
    package mutating func received(helloAnswer: Node) throws(WireError) {
        guard helloAnswer.string("type") == "result", let answer = helloAnswer.child(Self.tag),
            let reference = answer.child("link_code_pairing_ref")?.contentBytes, !reference.isEmpty
        else { throw WireError(.pairing, "code was refused") }
        self.reference = reference
    }

    /// Stage 2 and 3: what to send after the user typed the code, and the secret that the pair-success stanza is checked with from now on.
    /// - Parameter notification: To be acknowledged in any case.
    /// - Throws: `pairing`, also for the variant without wrapped key, which this method cannot answer (protocol.md 6.5).
    package func finish(
        _ notification: Node, id: String, random: any RandomSource
    ) throws(WireError) -> (request: Node, advSecret: [UInt8]) {
        guard let content = notification.child(Self.tag), content.string("stage") == "primary_hello" else {
            throw WireError(.pairing, "not a primary hello")
        }
        guard let reference, content.child("link_code_pairing_ref")?.contentBytes == reference else {
            throw WireError(.pairing, "another reference")
        }
        guard let wrapped = content.child("link_code_pairing_wrapped_primary_ephemeral_pub")?.contentBytes,
            let identity = content.child("primary_identity_pub")?.contentBytes
        else { throw WireError(.pairing, "primary hello is incomplete") }
        let phone = try PublicKey(pairing: identity)
        let identityShared = try PairCodeBundle.agree(request.identity, phone)
        let ephemeralShared = try PairCodeBundle.agree(ephemeral, try code.unwrap(wrapped, rounds: rounds))

        let advRandom = random.bytes(32)
        let salt = random.bytes(32)
        let nonce = random.bytes(12)
        let ownIdentity = request.identity.publicKey
        let bundle = try PairCodeBundle.seal(
            companion: ownIdentity, phone: phone, random: advRandom, salt: salt, nonce: nonce, shared: ephemeralShared)
        let answer = iq(
            id, stage: "companion_finish", showsPush: nil,
            [
                Node("link_code_pairing_wrapped_key_bundle", bytes: bundle),
                Node("companion_identity_public", bytes: ownIdentity.bytes),
                Node("link_code_pairing_ref", bytes: reference),
            ])
        return (answer, try PairCodeBundle.advSecret(ephemeral: ephemeralShared, identity: identityShared, random: advRandom))
    }

    private func iq(_ id: String, stage: String, showsPush: Bool?, _ children: [Node]) -> Node {
        let content = Node(
            Self.tag,
            [
                "jid": .jid(.phone(request.number)), "stage": .string(stage),
                "should_show_push_notification": showsPush.map { .string($0 ? "true" : "false") },
            ],
            children: children)
        return Node("iq", ["to": .jid(.server), "type": "set", "xmlns": "md", "id": .string(id)], children: [content])
    }
}

extension PairCodeCompanion: CustomStringConvertible, CustomReflectable {
    package var description: String { "PairCodeCompanion(redacted)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
