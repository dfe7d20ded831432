import Foundation
package import Primitives

/// The proof that a Noise static key is the server's: a leaf certificate, signed by an intermediate one, signed by a root that we pin
/// (protocol.md 2.5). It holds independently of TLS.
package enum CertificateChain {
    /// WhatsApp's root key (protocol.md 2.5, step 2).
    package static let productionRoot = PublicKey(pinned: [
        0x14, 0x23, 0x75, 0x57, 0x4d, 0x0a, 0x58, 0x71, 0x66, 0xaa, 0xe7, 0x1e, 0xbe, 0x51, 0x64, 0x37,
        0xc4, 0xa2, 0x8b, 0x73, 0xe3, 0x69, 0x5c, 0x6c, 0xe1, 0xf7, 0xf9, 0x54, 0x5d, 0xa8, 0xee, 0x6b,
    ])

    /// What one certificate says.
    package struct Details: Hashable, Sendable {
        package var serial: UInt32
        /// The serial of the certificate that signs this one; 0 for the root.
        package var issuerSerial: UInt32
        package var key: PublicKey
        /// Unix seconds, both inclusive.
        package var notBefore: Int64
        package var notAfter: Int64

        package init(serial: UInt32, issuerSerial: UInt32, key: PublicKey, notBefore: Int64, notAfter: Int64) {
            self.serial = serial
            self.issuerSerial = issuerSerial
            self.key = key
            self.notBefore = notBefore
            self.notAfter = notAfter
        }
    }

    /// Returns normally if `chain` proves that `serverStatic` is the server's key at the time `now` (unix seconds).
    /// - Throws: `certificate` for anything else, also when the local clock is wrong (the detail says so); `malformed`.
    package static func verify(_ chain: [UInt8], root: PublicKey, serverStatic: PublicKey, now: Int64) throws(WireError) {
        let message = try WACertChain(wire: chain)
        let intermediateDetails = try signedDetails(message.hasIntermediate ? message.intermediate : nil, "intermediate")
        let leafDetails = try signedDetails(message.hasLeaf ? message.leaf : nil, "leaf")

        guard root.isValidSignature([UInt8](message.intermediate.signature), for: intermediateDetails) else {
            throw WireError(.certificate, "intermediate is not signed by the root")
        }
        let intermediate = try Details(intermediateDetails)
        guard intermediate.issuerSerial == 0 else { throw WireError(.certificate, "intermediate has another issuer") }
        guard intermediate.key.isValidSignature([UInt8](message.leaf.signature), for: leafDetails) else {
            throw WireError(.certificate, "leaf is not signed by the intermediate")
        }
        try intermediate.checkValidity(at: now)
        let leaf = try Details(leafDetails)
        guard leaf.issuerSerial == intermediate.serial else { throw WireError(.certificate, "leaf has another issuer") }
        guard constantTimeEqual(leaf.key.bytes, serverStatic.bytes) else {
            throw WireError(.certificate, "leaf is for another key")
        }
        try leaf.checkValidity(at: now)
    }

    /// A chain for a server of our own: intermediate serial 1, leaf serial 2, both valid over the same time.
    package static func make(
        root: PrivateKey, intermediate: PrivateKey, leaf: PublicKey, notBefore: Int64, notAfter: Int64, random: any RandomSource
    ) -> [UInt8] {
        make(
            intermediate: Details(serial: 1, issuerSerial: 0, key: intermediate.publicKey, notBefore: notBefore, notAfter: notAfter),
            signedBy: root,
            leaf: Details(serial: 2, issuerSerial: 1, key: leaf, notBefore: notBefore, notAfter: notAfter),
            signedBy: intermediate, random: random)
    }

    /// A chain of any content; the intermediate's signature draws its 64 random bytes first.
    package static func make(
        intermediate: Details, signedBy root: PrivateKey, leaf: Details, signedBy intermediateKey: PrivateKey, random: any RandomSource
    ) -> [UInt8] {
        var chain = WACertChain()
        chain.intermediate = certificate(intermediate, signedBy: root, random: random)
        chain.leaf = certificate(leaf, signedBy: intermediateKey, random: random)
        return chain.wireBytes
    }

    private static func certificate(_ details: Details, signedBy key: PrivateKey, random: any RandomSource) -> WACertChain.NoiseCertificate {
        let bytes = details.wireBytes
        var certificate = WACertChain.NoiseCertificate()
        certificate.details = Data(bytes)
        certificate.signature = Data(key.signature(for: bytes, random: random))
        return certificate
    }

    private static func signedDetails(_ certificate: WACertChain.NoiseCertificate?, _ name: String) throws(WireError) -> [UInt8] {
        guard let certificate, certificate.hasDetails, certificate.signature.count == 64 else {
            throw WireError(.certificate, "\(name) is incomplete")
        }
        return [UInt8](certificate.details)
    }
}

extension CertificateChain.Details {
    fileprivate init(_ bytes: [UInt8]) throws(WireError) {
        let message = try WACertChain.NoiseCertificate.Details(wire: bytes)
        guard let notBefore = Int64(exactly: message.notBefore), let notAfter = Int64(exactly: message.notAfter) else {
            throw WireError(.certificate, "validity out of range")
        }
        let key: PublicKey
        do { key = try PublicKey([UInt8](message.key)) } catch { throw WireError(.certificate, "key length") }
        self.init(serial: message.serial, issuerSerial: message.issuerSerial, key: key, notBefore: notBefore, notAfter: notAfter)
    }

    fileprivate var wireBytes: [UInt8] {
        var message = WACertChain.NoiseCertificate.Details()
        message.serial = serial
        message.issuerSerial = issuerSerial
        message.key = Data(key.bytes)
        message.notBefore = UInt64(max(0, notBefore))
        message.notAfter = UInt64(max(0, notAfter))
        return message.wireBytes
    }

    fileprivate func checkValidity(at now: Int64) throws(WireError) {
        guard now >= notBefore else { throw WireError(.certificate, "not yet valid: is the clock right?") }
        guard now <= notAfter else { throw WireError(.certificate, "expired: is the clock right?") }
    }
}

extension PublicKey {
    /// A constant of this file; its length is checked by the first use.
    fileprivate init(pinned bytes: [UInt8]) {
        do { try self.init(bytes) } catch { preconditionFailure("a pinned key has 32 bytes") }
    }
}
