import CArgon2
import CSodium
import Primitives

/// Argon2id by libargon2. Blocks its thread for tens of milliseconds: only `Argon2Hasher` calls it.
enum Argon2 {
    /// The PHC string, or `nil` if the library refuses (no memory).
    static func hash(_ input: SecretBytes, salt: [UInt8], parameters: Argon2Parameters) -> String? {
        let (memory, passes, lanes) = (parameters.memoryKiB, parameters.passes, parameters.lanes)
        let capacity = argon2_encodedlen(
            passes, memory, lanes, UInt32(salt.count), UInt32(Argon2Parameters.tagLength), Argon2_id)
        var encoded = [CChar](repeating: 0, count: capacity)
        let status = input.withPointer {
            argon2id_hash_encoded(passes, memory, lanes, $0, input.count, salt, salt.count, Argon2Parameters.tagLength, &encoded, encoded.count)
        }
        guard status == ARGON2_OK.rawValue else { return nil }
        return String(decoding: encoded.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Whether `input` hashes to `phc`; `nil` if that is no hash of ours or the library refuses. The tags are compared in constant time.
    static func verify(_ input: SecretBytes, phc: String) -> Bool? {
        guard Argon2Parameters(phc: phc) != nil else { return nil }
        switch input.withPointer({ argon2id_verify(phc, $0, input.count) }) {
        case ARGON2_OK.rawValue: return true
        case ARGON2_VERIFY_MISMATCH.rawValue: return false
        default: return nil
        }
    }

    /// A well-formed hash that nothing matches: its tag is random.
    static func decoy(_ parameters: Argon2Parameters, random: any RandomSource) -> String {
        let salt = base64(random.bytes(Argon2Parameters.saltLength))
        let tag = base64(random.bytes(Argon2Parameters.tagLength))
        return
            "$argon2id$v=\(Argon2Parameters.version)$m=\(parameters.memoryKiB),t=\(parameters.passes),p=\(parameters.lanes)$\(salt)$\(tag)"
    }

    /// Without padding, as PHC strings have it.
    private static func base64(_ bytes: [UInt8]) -> String {
        let variant = Int32(sodium_base64_VARIANT_ORIGINAL_NO_PADDING)
        var text = [CChar](repeating: 0, count: sodium_base64_encoded_len(bytes.count, variant))
        sodium_bin2base64(&text, text.count, bytes, bytes.count, variant)
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
