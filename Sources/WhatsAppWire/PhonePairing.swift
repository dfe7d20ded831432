import Foundation
package import Primitives
import SwiftProtobuf

/// Linking another device by its QR code: the phone's side, for the simulator (protocol.md 6.1, 6.2).
package enum PhonePairing {
    /// What a QR text says.
    package struct ScannedCode: Equatable, Sendable {
        package var reference: [UInt8]
        package var noiseKey: PublicKey
        package var identityKey: PublicKey
        /// 32 bytes; authenticates the pairing.
        package var advSecret: [UInt8]
        /// See `CompanionPairing.ClientType`.
        package var client: String

        package init(reference: [UInt8], noiseKey: PublicKey, identityKey: PublicKey, advSecret: [UInt8], client: String) {
            self.reference = reference
            self.noiseKey = noiseKey
            self.identityKey = identityKey
            self.advSecret = advSecret
            self.client = client
        }
    }

    /// What the phone vouches for when it links a device.
    package struct DeviceDetails: Equatable, Sendable {
        package var rawID: UInt32
        /// Unix seconds.
        package var timestamp: UInt64
        package var keyIndex: UInt32
        /// nil: not written, which means the same as `e2Ee`.
        package var accountType: WAADVEncryptionType?
        package var deviceType: WAADVEncryptionType?
        /// Of the container around it.
        package var containerType: WAADVEncryptionType?

        package init(
            rawID: UInt32, timestamp: UInt64, keyIndex: UInt32, accountType: WAADVEncryptionType? = nil,
            deviceType: WAADVEncryptionType? = nil, containerType: WAADVEncryptionType? = nil
        ) {
            self.rawID = rawID
            self.timestamp = timestamp
            self.keyIndex = keyIndex
            self.accountType = accountType
            self.deviceType = deviceType
            self.containerType = containerType
        }
    }

    /// Reads the text of a QR code. References may hold commas, so it is read from its end.
    /// - Throws: `pairing`.
    package static func scan(_ text: String) throws(WireError) -> ScannedCode {
        let content = text.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).last ?? ""
        let parts = content.split(separator: ",", omittingEmptySubsequences: false)
        guard parts.count >= 5, let noise = bytes32(parts[parts.count - 4]), let identity = bytes32(parts[parts.count - 3]),
            let secret = bytes32(parts[parts.count - 2])
        else { throw WireError(.pairing, "QR text") }
        let reference = parts.dropLast(4).joined(separator: ",")
        guard !reference.isEmpty else { throw WireError(.pairing, "QR text without reference") }
        return ScannedCode(
            reference: Array(reference.utf8), noiseKey: try PublicKey(pairing: noise), identityKey: try PublicKey(pairing: identity),
            advSecret: secret, client: String(parts[parts.count - 1]))
    }

    /// The content of `device-identity` in a pair-success stanza: a serialized ADVSignedDeviceIdentityHMAC.
    /// - Parameters:
    ///   - device: The identity key of the device to link, and the secret it showed.
    ///   - account: The phone's identity key.
    package static func container(
        for device: PublicKey, advSecret: [UInt8], details: DeviceDetails, account: PrivateKey, random: any RandomSource
    ) -> [UInt8] {
        let detailBytes = details.wireBytes
        var signed = WAADVSignedDeviceIdentity()
        signed.details = Data(detailBytes)
        signed.accountSignatureKey = Data(account.publicKey.bytes)
        let message = AccountDeviceVerification.accountSigned(detailBytes, deviceType: details.deviceType ?? .e2Ee, identity: device)
        signed.accountSignature = Data(account.signature(for: message, random: random))
        let signedBytes = signed.wireBytes

        var container = WAADVSignedDeviceIdentityHMAC()
        container.details = Data(signedBytes)
        let authenticated = AccountDeviceVerification.authenticated(signedBytes, accountType: details.containerType ?? .e2Ee)
        container.hmac = Data(HMAC256.authenticate(authenticated, key: advSecret))
        if let type = details.containerType { container.accountType = type }
        return container.wireBytes
    }

    /// Checks what the new device answered with (the iq's pair-device-sign) against what the phone signed.
    /// - Parameter details: The same as given to `container`.
    /// - Returns: The full serialized ADVSignedDeviceIdentity, as the device stores it too.
    /// - Throws: `pairing` when anything differs or a signature is wrong; `malformed`.
    package static func verify(
        answer: Node, device: PublicKey, details: DeviceDetails, account: PublicKey
    ) throws(WireError) -> [UInt8] {
        guard let node = answer.child("pair-device-sign")?.child("device-identity"), let bytes = node.contentBytes,
            node.string("key-index") == String(details.keyIndex)
        else { throw WireError(.pairing, "answer is incomplete") }
        var signed = try WAADVSignedDeviceIdentity(wire: bytes)
        let detailBytes = [UInt8](signed.details)
        guard !signed.hasAccountSignatureKey, detailBytes == details.wireBytes else { throw WireError(.pairing, "answer differs") }
        signed.accountSignatureKey = Data(account.bytes)
        guard AccountDeviceVerification.isAccountSignatureValid(signed, deviceType: details.deviceType ?? .e2Ee, identity: device) else {
            throw WireError(.pairing, "account signature")
        }
        let message = AccountDeviceVerification.deviceSigned(detailBytes, identity: device, accountKey: account)
        guard device.isValidSignature([UInt8](signed.deviceSignature), for: message) else {
            throw WireError(.pairing, "device signature")
        }
        return signed.wireBytes
    }

    private static func bytes32(_ text: Substring) -> [UInt8]? {
        guard let data = Data(base64Encoded: String(text)), data.count == 32 else { return nil }
        return [UInt8](data)
    }
}

extension PhonePairing.DeviceDetails {
    /// The serialized ADVDeviceIdentity.
    package var wireBytes: [UInt8] {
        var message = WAADVDeviceIdentity()
        message.rawID = rawID
        message.timestamp = timestamp
        message.keyIndex = keyIndex
        if let accountType { message.accountType = accountType }
        if let deviceType { message.deviceType = deviceType }
        return message.wireBytes
    }
}

extension PhonePairing.ScannedCode: CustomStringConvertible, CustomReflectable {
    package var description: String { "ScannedCode(redacted)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

extension PublicKey {
    /// A key inside a pairing message.
    /// - Throws: `pairing` unless there are 32 bytes.
    init(pairing bytes: [UInt8]) throws(WireError) {
        do {
            try self.init(bytes)
        } catch {
            throw WireError(.pairing, "key length")
        }
    }
}
