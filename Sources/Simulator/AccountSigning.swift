import Foundation
import Primitives
import WhatsAppWire

/// The phone's side of linking a companion ("ADV", protocol.md 6.2), and what a recipient checks of it (10.6).
///
/// Written apart from the client's side on purpose, so that the two check each other.
enum AccountSigning {
    /// What the phone says about a new companion, signed by the account's key; the companion's own signature is still missing.
    static func record(for identity: PublicKey, of account: SimulatedAccount, keyIndex: UInt32, now: Int64, random: any RandomSource) -> [UInt8] {
        var details = WAADVDeviceIdentity()
        details.rawID = account.rawID
        details.timestamp = UInt64(max(0, now))
        details.keyIndex = keyIndex
        details.accountType = .e2Ee
        details.deviceType = .e2Ee
        let bytes = details.wireBytes
        var record = WAADVSignedDeviceIdentity()
        record.details = Data(bytes)
        record.accountSignatureKey = Data(account.accountKey.publicKey.bytes)
        record.accountSignature = Data(account.accountKey.signature(for: [6, 0] + bytes + identity.bytes, random: random))
        return record.wireBytes
    }

    /// The record under the HMAC of the secret that the phone learnt from the QR or the pairing code.
    static func container(_ record: [UInt8], secret: [UInt8]) -> [UInt8] {
        var container = WAADVSignedDeviceIdentityHMAC()
        container.details = Data(record)
        container.hmac = Data(HMAC256.authenticate(record, key: secret))
        return container.wireBytes
    }

    /// The complete record, if the companion's answer is the record with a valid signature and without the account's key.
    static func completed(_ answer: [UInt8], record: [UInt8], identity: PublicKey) throws(WireError) -> [UInt8] {
        var expected = try WAADVSignedDeviceIdentity(wire: record)
        let signed = try WAADVSignedDeviceIdentity(wire: answer)
        expected.deviceSignature = signed.deviceSignature
        guard !signed.hasAccountSignatureKey, signed.details == expected.details, signed.accountSignature == expected.accountSignature else {
            throw WireError(.pairing, "not what the phone signed")
        }
        let bytes = expected.wireBytes
        guard isValid(bytes, identity: identity, accountKey: nil) else { throw WireError(.pairing, "device signature") }
        return bytes
    }

    /// Whether a complete record proves that the account (of this key, if given) linked the device with this identity, and that the device agreed.
    static func isValid(_ bytes: [UInt8], identity: PublicKey, accountKey expected: PublicKey?) -> Bool {
        do {
            let record = try WAADVSignedDeviceIdentity(wire: bytes)
            let accountKey = try PublicKey([UInt8](record.accountSignatureKey))
            let details = [UInt8](record.details)
            return (expected == nil || expected == accountKey)
                && accountKey.isValidSignature([UInt8](record.accountSignature), for: [6, 0] + details + identity.bytes)
                && identity.isValidSignature([UInt8](record.deviceSignature), for: [6, 1] + details + identity.bytes + accountKey.bytes)
        } catch {
            return false
        }
    }

    /// The `key-index-list` of a device query: which key indexes the account vouches for.
    static func keyIndexList(of account: SimulatedAccount, now: Int64, random: any RandomSource) -> [UInt8] {
        var list = WAADVKeyIndexList()
        list.rawID = account.rawID
        list.timestamp = UInt64(max(0, now))
        list.validIndexes = account.devices.map(account.keyIndex)
        list.currentIndex = list.validIndexes.max() ?? 0
        list.accountType = .e2Ee
        let bytes = list.wireBytes
        var signed = WAADVSignedKeyIndexList()
        signed.details = Data(bytes)
        signed.accountSignature = Data(account.accountKey.signature(for: [6, 2] + bytes, random: random))
        return signed.wireBytes
    }
}
