import Foundation
package import Primitives

/// What the client says about itself at the end of the handshake (protocol.md 5).
package enum ClientPayload {
    /// The public keys of a device that is not linked yet.
    package struct RegistrationKeys: Hashable, Sendable {
        /// 1 to 16380.
        package var registrationID: UInt32
        package var identity: PublicKey
        /// The low 24 bits are sent.
        package var signedPreKeyID: UInt32
        package var signedPreKey: PublicKey
        /// By the identity key over the 33-byte form of the signed prekey.
        package var signature: [UInt8]

        package init(registrationID: UInt32, identity: PublicKey, signedPreKeyID: UInt32, signedPreKey: PublicKey, signature: [UInt8]) {
            self.registrationID = registrationID
            self.identity = identity
            self.signedPreKeyID = signedPreKeyID
            self.signedPreKey = signedPreKey
            self.signature = signature
        }
    }

    /// The payload of a device without an account; a pair-device stanza follows.
    package static func registration(_ keys: RegistrationKeys, version: ClientVersion, profile: DeviceProfile) -> [UInt8] {
        var payload = common(version: version, profile: profile)
        payload.passive = false
        payload.pull = false
        payload.devicePairingData.eRegid = Data(keys.registrationID.bigEndianBytes)
        payload.devicePairingData.eKeytype = Data([PublicKey.typeByte])
        payload.devicePairingData.eIdent = Data(keys.identity.bytes)
        payload.devicePairingData.eSkeyID = Data(keys.signedPreKeyID.bigEndianBytes.dropFirst())
        payload.devicePairingData.eSkeyVal = Data(keys.signedPreKey.bytes)
        payload.devicePairingData.eSkeySig = Data(keys.signature)
        payload.devicePairingData.buildHash = Data(version.buildHash)
        payload.devicePairingData.deviceProps = Data(profile.properties.wireBytes)
        return payload.wireBytes
    }

    /// The payload of a linked device. The server holds events back until the device declares itself active (protocol.md 7.2).
    /// - Parameters:
    ///   - jid: The device's own phone-number address.
    ///   - pushName: The name that recipients see, where it is known.
    ///   - isPassive: False lets the server send events at once.
    ///   - reason: Why we connect; `attempt` counts the tries since the connection was lost.
    /// - Throws: `malformed` when the address has no number.
    package static func login(
        _ jid: JID, version: ClientVersion, profile: DeviceProfile, pushName: String? = nil, isPassive: Bool = true,
        reason: WAClientPayload.ConnectReason = .userActivated, attempt: UInt32? = nil
    ) throws(WireError) -> [UInt8] {
        guard let number = UInt64(digits: jid.user) else { throw WireError(.malformed, "own address") }
        var payload = common(version: version, profile: profile)
        payload.username = number
        payload.device = UInt32(jid.device)
        payload.passive = isPassive
        payload.connectReason = reason
        if let attempt { payload.connectAttemptCount = attempt }
        payload.pull = true
        payload.lidDbMigrated = true
        payload.lc = 1
        if let pushName { payload.pushName = pushName }
        return payload.wireBytes
    }

    private static func common(version: ClientVersion, profile: DeviceProfile) -> WAClientPayload {
        var payload = WAClientPayload()
        payload.userAgent.platform = .web
        payload.userAgent.releaseChannel = .release
        payload.userAgent.appVersion.primary = version.primary
        payload.userAgent.appVersion.secondary = version.secondary
        payload.userAgent.appVersion.tertiary = version.tertiary
        payload.userAgent.mcc = "000"
        payload.userAgent.mnc = "000"
        payload.userAgent.osVersion = profile.systemVersion
        payload.userAgent.osBuildNumber = profile.systemVersion
        payload.userAgent.manufacturer = ""
        payload.userAgent.device = "Desktop"
        payload.userAgent.localeLanguageIso6391 = profile.language
        payload.userAgent.localeCountryIso31661Alpha2 = profile.country
        payload.webInfo.webSubPlatform = .webBrowser
        payload.connectType = .wifiUnknown
        payload.connectReason = .userActivated
        return payload
    }
}

// MARK: The server's side

extension ClientPayload {
    /// What a server reads from a payload.
    package struct Greeting: Equatable, Sendable {
        package enum Kind: Equatable, Sendable {
            /// Not linked yet. `name` is the one to show under "Linked devices".
            case registration(RegistrationKeys, name: String)
            /// Linked as this phone-number device.
            case login(JID)
        }

        package var kind: Kind
        package var version: ClientVersion
        package var isPassive: Bool
    }

    /// Reads and checks a payload: lengths, key type, build hash and the signature of the signed prekey.
    /// - Throws: `malformed`.
    package static func parse(_ bytes: [UInt8]) throws(WireError) -> Greeting {
        let payload = try WAClientPayload(wire: bytes)
        guard payload.hasUserAgent, payload.userAgent.hasAppVersion else { throw WireError(.malformed, "no client version") }
        let claimed = payload.userAgent.appVersion
        let version = ClientVersion(claimed.primary, claimed.secondary, claimed.tertiary)
        return Greeting(
            kind: payload.hasDevicePairingData ? try registration(payload.devicePairingData, version) : try login(payload),
            version: version, isPassive: payload.passive)
    }

    private static func login(_ payload: WAClientPayload) throws(WireError) -> Greeting.Kind {
        guard payload.hasUsername, let device = UInt16(exactly: payload.device), device != 0 else {
            throw WireError(.malformed, "neither registration nor login")
        }
        return .login(.phone(String(payload.username), device: device))
    }

    private static func registration(
        _ data: WAClientPayload.DevicePairingRegistrationData, _ version: ClientVersion
    ) throws(WireError) -> Greeting.Kind {
        guard let registrationID = UInt32(bigEndianBytes: [UInt8](data.eRegid), count: 4),
            let signedPreKeyID = UInt32(bigEndianBytes: [UInt8](data.eSkeyID), count: 3),
            [UInt8](data.eKeytype) == [PublicKey.typeByte], data.eSkeySig.count == 64, [UInt8](data.buildHash) == version.buildHash
        else { throw WireError(.malformed, "pairing data") }
        let keys: RegistrationKeys
        do {
            keys = RegistrationKeys(
                registrationID: registrationID, identity: try PublicKey([UInt8](data.eIdent)), signedPreKeyID: signedPreKeyID,
                signedPreKey: try PublicKey([UInt8](data.eSkeyVal)), signature: [UInt8](data.eSkeySig))
        } catch {
            throw WireError(.malformed, "pairing key")
        }
        guard keys.identity.isValidSignature(keys.signature, for: keys.signedPreKey.typed) else {
            throw WireError(.malformed, "signed prekey")
        }
        return .registration(keys, name: try WADeviceProps(wire: data.deviceProps).os)
    }
}

extension UInt32 {
    fileprivate var bigEndianBytes: [UInt8] { withUnsafeBytes(of: bigEndian) { [UInt8]($0) } }

    /// nil unless there are exactly `count` bytes, at most 4.
    fileprivate init?(bigEndianBytes bytes: [UInt8], count: Int) {
        guard bytes.count == count, count <= 4 else { return nil }
        self = bytes.reduce(0) { $0 << 8 | UInt32($1) }
    }
}
