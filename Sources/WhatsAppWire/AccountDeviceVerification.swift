import Primitives

/// The byte strings that tie a linked device to its account ("ADV", protocol.md 6.2). Both sides of a pairing make the same ones.
enum AccountDeviceVerification {
    private static let accountPrefix: [UInt8] = [6, 0]
    private static let devicePrefix: [UInt8] = [6, 1]
    private static let hostedPrefix: [UInt8] = [6, 5]

    /// What the container's HMAC covers.
    static func authenticated(_ signedIdentity: [UInt8], accountType: WAADVEncryptionType) -> [UInt8] {
        accountType == .hosted ? hostedPrefix + signedIdentity : signedIdentity
    }

    /// What the phone signs with the account's key.
    static func accountSigned(_ details: [UInt8], deviceType: WAADVEncryptionType, identity: PublicKey) -> [UInt8] {
        (deviceType == .hosted ? hostedPrefix : accountPrefix) + details + identity.bytes
    }

    /// What the new device signs with its identity key; hosted devices too (vectors adv-pairing).
    static func deviceSigned(_ details: [UInt8], identity: PublicKey, accountKey: PublicKey) -> [UInt8] {
        devicePrefix + details + identity.bytes + accountKey.bytes
    }

    /// Whether the account vouches for the device with this identity.
    static func isAccountSignatureValid(_ signed: WAADVSignedDeviceIdentity, deviceType: WAADVEncryptionType, identity: PublicKey) -> Bool {
        guard signed.accountSignature.count == 64, let accountKey = signed.accountKey else { return false }
        return accountKey.isValidSignature(
            [UInt8](signed.accountSignature), for: accountSigned([UInt8](signed.details), deviceType: deviceType, identity: identity))
    }
}

extension WAADVSignedDeviceIdentity {
    /// The account's key, if it is there and 32 bytes long.
    var accountKey: PublicKey? {
        do { return try PublicKey([UInt8](accountSignatureKey)) } catch { return nil }
    }
}
