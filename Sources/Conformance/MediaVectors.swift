import Primitives
import WhatsAppWire

/// Media keys and encrypted media files.
package enum MediaVectors: VectorSuite {
    package static let fileName = "media.json"

    package static func run(_ vector: VectorCase) throws {
        let json = vector.json
        let info = try json.string("info")
        guard let kind = MediaKind(rawValue: try json.string("type")) ?? MediaKind.allCases.first(where: { $0.info == info }) else {
            throw VectorMismatch("unknown media type")
        }
        try expectEqual(kind.info, info, "info")
        let mediaKey = try json.bytes("media_key")
        switch try json.string("kind") {
        case "keys": try keys(json, mediaKey, kind)
        case "file":
            try keys(json, mediaKey, kind)
            try file(json, mediaKey, kind)
        case "error":
            try expectRefusal("damaged file") {
                _ = try MediaCipher.decrypt(
                    try json.bytes("encrypted"), kind: kind, mediaKey: mediaKey, sha256: try json.bytes("file_sha256"),
                    encryptedSHA256: try json.bytes("file_enc_sha256"))
            }
        case let other: throw VectorMismatch("unknown kind \(other)")
        }
    }

    private static func keys(_ json: JSONValue, _ mediaKey: [UInt8], _ kind: MediaKind) throws {
        let keys = try MediaCipher.Keys(mediaKey, kind: kind)
        try expectEqual(keys.iv, try json.bytes("iv"), "iv")
        try expectEqual(keys.cipherKey, try json.bytes("cipher_key"), "cipher key")
        try expectEqual(keys.macKey, try json.bytes("mac_key"), "MAC key")
        try expectEqual(keys.referenceKey, try json.bytes("ref_key"), "reference key")
    }

    private static func file(_ json: JSONValue, _ mediaKey: [UInt8], _ kind: MediaKind) throws {
        let plaintext: [UInt8]
        if let pattern = json["plaintext_repeat"] {
            guard let byte = try pattern.bytes("byte").first else { throw VectorMismatch("no byte to repeat") }
            plaintext = [UInt8](repeating: byte, count: try pattern.int("count"))
        } else {
            plaintext = try json.bytes("plaintext")
        }
        let file = try MediaCipher.encrypt(plaintext, kind: kind, mediaKey: mediaKey)
        if json.has("encrypted") {
            try expectEqual(file.encrypted, try json.bytes("encrypted"), "encrypted")
        } else {
            try expectEqual(file.encrypted.count, try json.int("encrypted_length"), "encrypted length")
            try expectEqual(Array(file.encrypted.suffix(10)), try json.bytes("mac"), "MAC")
        }
        try expectEqual(file.length, UInt64(try json.int("file_length")), "length")
        try expectEqual(file.sha256, try json.bytes("file_sha256"), "hash")
        try expectEqual(file.encryptedSHA256, try json.bytes("file_enc_sha256"), "hash of the encrypted file")
        let back = try MediaCipher.decrypt(
            file.encrypted, kind: kind, mediaKey: mediaKey, sha256: file.sha256, encryptedSHA256: file.encryptedSHA256)
        try expect(back == plaintext, "decrypted file differs")
    }
}
