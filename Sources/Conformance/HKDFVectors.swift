import Primitives

/// `hkdf.json`: HKDF-SHA-256 outputs of many lengths.
package enum HKDFVectors: VectorSuite {
    package static let fileName = "hkdf.json"

    package static func run(_ vector: VectorCase) throws {
        let json = vector.json
        let (ikm, salt, info) = (try json.bytes("ikm"), try json.bytes("salt"), try json.bytes("info"))
        let count = try json.int("length")
        if json.flag("error") {
            try expectRefusal("a length of \(count)") { _ = try HKDF256.derive(ikm, salt: salt, info: info, count: count) }
        } else {
            try expectEqual(try HKDF256.derive(ikm, salt: salt, info: info, count: count), try json.bytes("okm"), "okm")
        }
    }
}
