import Crypto

/// Plain hashes.
package enum Digest {
    /// 32 bytes.
    package static func sha256(_ bytes: [UInt8]) -> [UInt8] { hash(bytes, with: SHA256.self) }

    /// 64 bytes.
    package static func sha512(_ bytes: [UInt8]) -> [UInt8] { hash(bytes, with: SHA512.self) }

    /// 16 bytes. Only where WhatsApp asks for it (the build hash of the client payload); it protects nothing.
    package static func md5(_ bytes: [UInt8]) -> [UInt8] { hash(bytes, with: Insecure.MD5.self) }

    private static func hash<H: HashFunction>(_ bytes: [UInt8], with function: H.Type) -> [UInt8] {
        var hasher = H()
        bytes.withUnsafeBytes { hasher.update(bufferPointer: $0) }
        return hasher.finalize().withUnsafeBytes { [UInt8]($0) }
    }
}
