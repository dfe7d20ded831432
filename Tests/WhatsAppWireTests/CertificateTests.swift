import Primitives
import Testing

@testable import WhatsAppWire

@Suite struct CertificateTests {
    static let time: Int64 = 1_700_000_000

    private func details(
        _ serial: UInt32, issuer: UInt32, _ key: PublicKey, notBefore: Int64 = time, notAfter: Int64 = time + 100
    ) -> CertificateChain.Details {
        CertificateChain.Details(serial: serial, issuerSerial: issuer, key: key, notBefore: notBefore, notAfter: notAfter)
    }

    private func make(
        _ intermediate: CertificateChain.Details, _ leaf: CertificateChain.Details, root: UInt8 = 1, signer: UInt8 = 2
    ) throws -> [UInt8] {
        CertificateChain.make(intermediate: intermediate, signedBy: try key(root), leaf: leaf, signedBy: try key(signer), random: ConstantRandom())
    }

    private func verify(_ chain: [UInt8], now: Int64 = time + 50, root: UInt8 = 1, server: UInt8 = 3) throws {
        try CertificateChain.verify(chain, root: try key(root).publicKey, serverStatic: try key(server).publicKey, now: now)
    }

    @Test func `a chain is valid from its first to its last second`() throws {
        let chain = CertificateChain.make(
            root: try key(1), intermediate: try key(2), leaf: try key(3).publicKey, notBefore: Self.time, notAfter: Self.time + 100,
            random: ConstantRandom())

        try verify(chain, now: Self.time)
        try verify(chain, now: Self.time + 100)
        #expect(throws: WireError(.certificate, "not yet valid: is the clock right?")) { try verify(chain, now: Self.time - 1) }
        #expect(throws: WireError(.certificate, "expired: is the clock right?")) { try verify(chain, now: Self.time + 101) }
        #expect(throws: WireError(.certificate, "not yet valid: is the clock right?")) { try verify(chain, now: .min) }
    }

    @Test func `every broken link is refused by name`() throws {
        let intermediate = details(5, issuer: 0, try key(2).publicKey)
        let leaf = details(6, issuer: 5, try key(3).publicKey)
        try verify(try make(intermediate, leaf))

        #expect(throws: WireError(.certificate, "intermediate is not signed by the root")) { try verify(try make(intermediate, leaf, root: 9)) }
        #expect(throws: WireError(.certificate, "leaf is not signed by the intermediate")) { try verify(try make(intermediate, leaf, signer: 9)) }
        #expect(throws: WireError(.certificate, "leaf is for another key")) { try verify(try make(intermediate, leaf), server: 4) }
        #expect(throws: WireError(.certificate, "intermediate has another issuer")) {
            try verify(try make(details(5, issuer: 1, try key(2).publicKey), leaf))
        }
        #expect(throws: WireError(.certificate, "leaf has another issuer")) {
            try verify(try make(intermediate, details(6, issuer: 4, try key(3).publicKey)))
        }
        #expect(throws: WireError(.certificate, "expired: is the clock right?")) {
            try verify(try make(intermediate, details(6, issuer: 5, try key(3).publicKey, notAfter: Self.time + 49)))
        }
        #expect(throws: WireError(.certificate, "expired: is the clock right?")) {
            try verify(try make(details(5, issuer: 0, try key(2).publicKey, notAfter: Self.time + 49), leaf))
        }
        #expect(throws: WireError(.certificate, "intermediate is incomplete")) { try verify([]) }
    }

    @Test func `the production root is the documented key and vouches for no chain of ours`() throws {
        #expect(
            Hex.encode(CertificateChain.productionRoot.bytes) == "142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b")
        let chain = try make(details(5, issuer: 0, try key(2).publicKey), details(6, issuer: 5, try key(3).publicKey))
        #expect(throws: WireError.self) {
            try CertificateChain.verify(chain, root: CertificateChain.productionRoot, serverStatic: try key(3).publicKey, now: Self.time)
        }
    }

    @Test func `a damaged chain is refused`() throws {
        // given
        let chain = try make(details(5, issuer: 0, try key(2).publicKey), details(6, issuer: 5, try key(3).publicKey))
        let meaning = try WACertChain(wire: chain)
        // then
        try forEachDamaged(chain) { bytes in
            do { try verify(bytes) } catch { return }
            let accepted = try WACertChain(wire: bytes)
            #expect(accepted == meaning)
        }
    }
}
