import Primitives
import WhatsAppWire

/// The server's certificate chain.
package enum CertificateVectors: VectorSuite {
    package static let fileName = "cert.json"

    package static func run(_ vector: VectorCase) throws {
        let json = vector.json
        let chain = try json.bytes("chain")
        let root = try PublicKey(try json.bytes("root_public_key"))
        let serverStatic = try json.bytes("server_static")
        let now = Int64(try json.int("now"))
        guard json.flag("valid") else {
            return try expectRefusal("chain") {
                try CertificateChain.verify(chain, root: root, serverStatic: try PublicKey(serverStatic), now: now)
            }
        }
        try CertificateChain.verify(chain, root: root, serverStatic: try PublicKey(serverStatic), now: now)
        if let parts = json["parts"] { try reproduce(parts, chain) }
    }

    /// Makes the same chain with the recorded random bytes.
    private static func reproduce(_ parts: JSONValue, _ chain: [UInt8]) throws {
        let intermediate = try parts.member("intermediate")
        let leaf = try parts.member("leaf")
        let random = RecordedRandom([try intermediate.bytes("signature_random"), try leaf.bytes("signature_random")])
        let made = CertificateChain.make(
            intermediate: try details(try intermediate.member("details")), signedBy: try intermediate.privateKey("signed_by"),
            leaf: try details(try leaf.member("details")), signedBy: try leaf.privateKey("signed_by"), random: random)
        try expectEqual(made, chain, "chain made again")
        try random.expectExhausted("chain")
    }

    private static func details(_ json: JSONValue) throws -> CertificateChain.Details {
        CertificateChain.Details(
            serial: try json.uint32("serial"), issuerSerial: try json.uint32("issuer_serial"), key: try PublicKey(try json.bytes("key")),
            notBefore: Int64(try json.int("not_before")), notAfter: Int64(try json.int("not_after")))
    }
}
