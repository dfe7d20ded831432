import Foundation
package import Primitives
import SwiftProtobuf

/// Linking this device by QR code: the companion's side (protocol.md 6.1, 6.2). Pure steps; the caller sends, stores and reconnects.
package enum CompanionPairing {
    /// What kind of client a QR text or a pairing code says it is for; should fit the platform in `DeviceProfile`.
    package enum ClientType: String, Sendable, CaseIterable {
        case unknown = "0", chrome = "1", edge = "2", firefox = "3", internetExplorer = "4", opera = "5", safari = "6"
        case electron = "7", uwp = "8", otherWeb = "9", macOS = "c", android = "e"
    }

    /// The references of a pair-device stanza, in the order in which their codes are shown.
    /// - Throws: `pairing` when there is none.
    package static func references(of stanza: Node) throws(WireError) -> [[UInt8]] {
        let references = (stanza.child("pair-device")?.children("ref") ?? []).compactMap(\.contentBytes)
        guard !references.isEmpty else { throw WireError(.pairing, "no reference") }
        return references
    }

    /// The answer to a pair-device stanza, due at once.
    /// - Throws: `malformed` when the stanza has no id.
    package static func acknowledgement(of stanza: Node) throws(WireError) -> Node {
        Node("iq", ["to": .jid(.server), "type": "result", "id": .string(try id(of: stanza))])
    }

    /// The text of a QR code. It holds the secret that authenticates the pairing: never log it, never keep it after its time.
    /// - Throws: `pairing` when the reference is no text.
    package static func qrText(
        reference: [UInt8], noiseKey: PublicKey, identityKey: PublicKey, advSecret: [UInt8], client: ClientType
    ) throws(WireError) -> String {
        guard let reference = String(validating: reference, as: UTF8.self) else { throw WireError(.pairing, "reference") }
        let keys = [noiseKey.bytes, identityKey.bytes, advSecret].map { Data($0).base64EncodedString() }
        return "https://wa.me/settings/linked_devices#" + ([reference] + keys + [client.rawValue]).joined(separator: ",")
    }

    /// Judges a pair-success stanza. Nothing is stored here.
    ///
    /// When accepted: make the account durable, then send the reply, then expect the connection to end (protocol.md 6.3). When refused:
    /// send the reply and disconnect.
    /// - Parameters:
    ///   - advSecret: The 32 bytes of the QR text, or those a pairing code led to.
    ///   - expectedNumber: Digits of the only number that may be linked; nil lets any.
    /// - Throws: `malformed` only when the stanza has no id, so that it cannot even be refused.
    package static func accept(
        _ stanza: Node, identity: PrivateKey, advSecret: [UInt8], expectedNumber: String? = nil, random: any RandomSource
    ) throws(WireError) -> Outcome {
        let id = try id(of: stanza)
        do {
            let (account, answer) = try verify(stanza, identity: identity, advSecret: advSecret, expectedNumber: expectedNumber, random: random)
            let identityNode = Node("device-identity", ["key-index": .number(account.keyIndex)], bytes: answer)
            return .accepted(
                account,
                reply: Node(
                    "iq", ["to": .jid(.server), "type": "result", "id": .string(id)],
                    children: [Node("pair-device-sign", children: [identityNode])]))
        } catch {
            let refusal = Node("error", ["code": .number(error.code), "text": .string(error.text)])
            return .refused(error, reply: Node("iq", ["to": .jid(.server), "type": "error", "id": .string(id)], children: [refusal]))
        }
    }

    private static func verify(
        _ stanza: Node, identity: PrivateKey, advSecret: [UInt8], expectedNumber: String?, random: any RandomSource
    ) throws(Refusal) -> (PairedAccount, answer: [UInt8]) {
        guard let success = stanza.child("pair-success"), let bytes = success.child("device-identity")?.contentBytes,
            let container = WAADVSignedDeviceIdentityHMAC(ifWire: bytes)
        else { throw .malformed }
        let signedBytes = [UInt8](container.details)
        let mac = HMAC256.authenticate(
            AccountDeviceVerification.authenticated(signedBytes, accountType: container.accountType), key: advSecret)
        guard constantTimeEqual(mac, [UInt8](container.hmac)) else { throw .hmacMismatch }

        guard var signed = WAADVSignedDeviceIdentity(ifWire: signedBytes), let details = WAADVDeviceIdentity(ifWire: [UInt8](signed.details)) else {
            throw .malformed
        }
        guard let accountKey = signed.accountKey,
            AccountDeviceVerification.isAccountSignatureValid(signed, deviceType: details.deviceType, identity: identity.publicKey)
        else { throw .signatureMismatch }

        guard let device = success.child("device"), let jid = device.jid("jid"), let lid = device.jid("lid"),
            jid.server == .phone || jid.server == .hosted, lid.server == .lid || lid.server == .hostedLID,
            UInt64(digits: jid.user) != nil, !lid.user.isEmpty, !jid.isPrimaryDevice
        else { throw .malformed }
        if let expectedNumber, expectedNumber != jid.user { throw .otherNumber }

        let message = AccountDeviceVerification.deviceSigned([UInt8](signed.details), identity: identity.publicKey, accountKey: accountKey)
        signed.deviceSignature = Data(identity.signature(for: message, random: random))
        var answer = signed
        answer.clearAccountSignatureKey()
        let account = PairedAccount(
            jid: jid, lid: lid, platform: success.child("platform")?.string("name"), businessName: success.child("biz")?.string("name"),
            accountRecord: signed.wireBytes, accountKey: accountKey, keyIndex: details.keyIndex,
            serverTime: stanza.uint("t").flatMap(Int64.init(exactly:)))
        return (account, answer.wireBytes)
    }

    private static func id(of stanza: Node) throws(WireError) -> String {
        guard let id = stanza.string("id"), !id.isEmpty else { throw WireError(.malformed, "stanza without id") }
        return id
    }
}

extension CompanionPairing {
    /// What became of a pair-success stanza.
    package enum Outcome: Sendable {
        case accepted(PairedAccount, reply: Node)
        case refused(Refusal, reply: Node)
    }

    /// Why a pairing was refused.
    package enum Refusal: String, Error, Sendable {
        case malformed, hmacMismatch, signatureMismatch
        /// Another phone number was linked than the expected one.
        case otherNumber

        /// What the server is told (protocol.md 6.2).
        package var code: Int {
            switch self {
            case .hmacMismatch, .signatureMismatch: 401
            case .malformed, .otherNumber: 500
            }
        }

        package var text: String {
            switch self {
            case .hmacMismatch: "hmac-mismatch"
            case .signatureMismatch: "signature-mismatch"
            case .malformed, .otherNumber: "internal-error"
            }
        }
    }
}

extension SwiftProtobuf.Message {
    /// For a judge who only asks whether it parses.
    fileprivate init?(ifWire bytes: [UInt8]) {
        do { try self.init(wire: bytes) } catch { return nil }
    }
}
