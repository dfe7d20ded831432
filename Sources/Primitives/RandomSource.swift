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
        precondition(Self.isSound, "the system's source of random bytes repeats itself")
        return Self.draw(count)
    }

    /// Looked at once. Bytes that come again would make keys that others know and nonces that are used twice, so a process with such a source ends.
    private static let isSound = {
        Sodium.prepare()
        let draws = (0..<4).map { _ in draw(32) }
        return Set(draws).count == draws.count && draws.allSatisfy { Set($0).count > 8 }
    }()

    private static func draw(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        if !Sabotage.constantRandom.isOn { randombytes_buf(&bytes, count) }
        return bytes
    }
}
