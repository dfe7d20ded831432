import CSodium

/// Where random bytes come from. Tests pass a seeded source, so that handshakes and ids are reproducible.
package protocol RandomSource: Sendable {
    /// `count` bytes that nobody can predict; none for a count of 0 or less.
    func bytes(_ count: Int) -> [UInt8]
}

/// The system's cryptographic randomness, by libsodium (`getrandom`).
package struct SystemRandom: RandomSource {
    package init() {}

    package func bytes(_ count: Int) -> [UInt8] {
        guard count > 0 else { return [] }
        Sodium.prepare()
        var bytes = [UInt8](repeating: 0, count: count)
        randombytes_buf(&bytes, count)
        return bytes
    }
}
