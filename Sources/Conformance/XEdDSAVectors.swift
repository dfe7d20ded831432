import Primitives

/// `xeddsa.json`: signatures made with Curve25519 keys, and what must be refused.
package enum XEdDSAVectors: VectorSuite {
    package static let fileName = "xeddsa.json"

    package static func run(_ vector: VectorCase) throws {
        let json = vector.json
        switch try json.string("kind") {
        case "sign": try sign(json)
        case "verify":
            let isValid = try verify(json)
            try expectEqual(isValid, json.flag("valid"), "valid")
        case let kind: throw VectorMismatch("unknown kind \(kind)")
        }
    }

    private static func sign(_ json: JSONValue) throws {
        let key = try PrivateKey(json.bytes("private_key"))
        let message = try json.bytes("message")
        let nonce = try json.bytes("random")
        try expect(nonce.count == 64, "random has 64 bytes")
        try expectEqual(key.publicKey.bytes, try json.bytes("public_key"), "public key")
        let signature = key.signature(for: message, nonce: nonce)
        try expectEqual(signature, try json.bytes("signature"), "signature")
        try expectEqual(Int(signature[63] >> 7), try json.int("sign_bit"), "sign bit")
        try expectEqual(key.publicKey.isValidSignature(signature, for: message), json.flag("valid"), "valid")
    }

    private static func verify(_ json: JSONValue) throws -> Bool {
        let (bytes, signature, message) = (try json.bytes("public_key"), try json.bytes("signature"), try json.bytes("message"))
        do {
            return try PublicKey(bytes).isValidSignature(signature, for: message)
        } catch is CryptoFailure {
            return false
        }
    }
}
