package import Primitives

/// What type an `enc` node gets.
package enum CipherKind: String, Hashable, Sendable {
    case preKey = "pkmsg"
    case message = "msg"
}

/// One encrypted message for one device.
package struct Ciphertext: Hashable, Sendable {
    package var kind: CipherKind
    package var bytes: [UInt8]
}

/// What a prekey message gave. The caller deletes the one-time prekey in the transaction that stores the record, and compares the identity with the one it
/// knew (protocol.md 9.6, 9.8).
package struct PreKeyDecryption: Sendable {
    package var plaintext: [UInt8]
    /// Nil when the message named none, or continued a session that had consumed it.
    package var consumedPreKeyID: UInt32?
    package var identityKey: PublicKey
}

/// Turns plaintext into ciphertext for one device and back (protocol.md 9.6, 9.7).
///
/// Every verb works on a copy: `record` changes only when it returns. It does no I/O; the caller loads the record and the keys, holds the address meanwhile,
/// and stores the record before the ciphertext leaves. Random bytes are drawn in a fixed order, so that recorded conversations can be replayed:
/// `begin` draws the base key, then the first ratchet key (32 bytes each); a decryption draws one ratchet key (32 bytes), and only if the message is authentic
/// and brings a new ratchet key of the peer; encrypting draws nothing.
package enum SessionCipher {
    /// Begins a session as its initiator. The present one, if any, is archived; sessions with another identity are forgotten.
    ///
    /// - Throws: `invalidSignature` before anything is drawn; `invalidKey`.
    package static func begin(
        _ bundle: PreKeyBundle, own: SignalIdentity, record: inout SessionRecord, random: any RandomSource
    ) throws(SignalError) {
        guard bundle.isSignatureValid else { throw SignalError(.invalidSignature) }
        record.begin(try SessionState(initiating: bundle, own: own, random: random))
    }

    /// The next message of the current session: a prekey message until the peer has answered. `plaintext` is used as it is, without the padding of
    /// WhatsApp's messages.
    ///
    /// - Throws: `noSession`; `identityMismatch` if the session was begun under another own identity; `chainExhausted`.
    package static func encrypt(_ plaintext: [UInt8], own: SignalIdentity, record: inout SessionRecord) throws(SignalError) -> Ciphertext {
        guard var state = record.current else { throw SignalError(.noSession) }
        guard state.localIdentity == own.keyPair.publicKey else { throw SignalError(.identityMismatch) }
        let message = try state.encrypt(plaintext)
        record.current = state
        guard let pending = state.pendingPreKey else { return Ciphertext(kind: .message, bytes: message) }
        let header = PreKeyMessageHeader(
            registrationID: state.localRegistrationID, preKeyID: pending.preKeyID, signedPreKeyID: pending.signedPreKeyID,
            identityKey: state.localIdentity, baseKey: state.baseKey, message: message)
        return Ciphertext(kind: .preKey, bytes: header.encoded())
    }

    /// Decrypts with the current session, then with the archived ones, newest first; one that works becomes the current one.
    ///
    /// - Throws: what the message or the sessions make of it; of several sessions' errors the one that says more than `badMAC`.
    package static func decrypt(
        message bytes: [UInt8], own: SignalIdentity, record: inout SessionRecord, random: any RandomSource
    ) throws(SignalError) -> [UInt8] {
        let message = try SignalMessage(parsing: bytes)
        var failure = SignalError(.noSession)
        if var state = record.current {
            do {
                let plaintext = try state.decrypt(message, random: random)
                record.current = state
                return plaintext
            } catch {
                failure = error
            }
        }
        for index in record.archived.indices {
            do {
                var state = try SessionState(serialized: record.archived[index])
                let plaintext = try state.decrypt(message, random: random)
                record.promote(state, from: index)
                return plaintext
            } catch {
                if failure.code == .noSession || failure.code == .badMAC { failure = error }
            }
        }
        throw failure
    }

    /// Decrypts a prekey message: with the session of its base key if there is one, current or archived, else as the responder of a new one, for which the
    /// named prekeys are asked.
    ///
    /// - Throws: `unknownSignedPreKey`, `unknownPreKey`; `identityMismatch` if it shows another identity than the session it continues; what the message
    ///   makes of it.
    package static func decrypt(
        preKeyMessage bytes: [UInt8], own: SignalIdentity, signedPreKeys: (UInt32) -> SignedPreKeyPair?, preKeys: (UInt32) -> PreKeyPair?,
        record: inout SessionRecord, random: any RandomSource
    ) throws(SignalError) -> PreKeyDecryption {
        let header = try PreKeyMessageHeader.parse(bytes)
        let message = try SignalMessage(parsing: header.message)
        if var state = record.current, state.baseKey == header.baseKey {
            let plaintext = try resume(&state, header, message, random)
            record.current = state
            return PreKeyDecryption(plaintext: plaintext, consumedPreKeyID: nil, identityKey: header.identityKey)
        }
        if let index = record.archivedIndex(baseKey: header.baseKey) {
            var state = try SessionState(serialized: record.archived[index])
            let plaintext = try resume(&state, header, message, random)
            record.promote(state, from: index)
            return PreKeyDecryption(plaintext: plaintext, consumedPreKeyID: nil, identityKey: header.identityKey)
        }
        guard let signedPreKey = signedPreKeys(header.signedPreKeyID) else { throw SignalError(.unknownSignedPreKey) }
        var preKey: PreKeyPair?
        if let id = header.preKeyID {
            preKey = preKeys(id)
            guard preKey != nil else { throw SignalError(.unknownPreKey) }
        }
        var state = try SessionState(answering: header, own: own, signedPreKey: signedPreKey.privateKey, preKey: preKey?.privateKey)
        let plaintext = try state.decrypt(message, random: random)
        record.begin(state)
        return PreKeyDecryption(plaintext: plaintext, consumedPreKeyID: header.preKeyID, identityKey: header.identityKey)
    }

    /// The header's identity is not under the MAC, so it must be the session's.
    private static func resume(
        _ state: inout SessionState, _ header: PreKeyMessageHeader, _ message: SignalMessage, _ random: any RandomSource
    ) throws(SignalError) -> [UInt8] {
        guard state.remoteIdentity == header.identityKey else { throw SignalError(.identityMismatch) }
        return try state.decrypt(message, random: random)
    }
}
