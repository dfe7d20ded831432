package import Primitives

/// One account's data key. Everything of the account is sealed under subkeys of it; destroying its wrapped form makes all that unreadable.
package struct DataKey: Sendable {
    /// Which of the account's data keys this is; stands in front of everything sealed under it.
    package let version: UInt8
    private let derived: DerivedKeys

    /// A fresh key.
    package init(version: UInt8 = 1, random: any RandomSource) {
        self.init(version: version, secret: SecretBytes(count: 32, random: random))
    }

    init(version: UInt8, secret: SecretBytes) {
        precondition(secret.count == 32, "a data key has 32 bytes")
        self.version = version
        derived = DerivedKeys(master: secret)
    }

    var secret: SecretBytes { derived.master }

    /// The 32-byte key that seals for one purpose.
    func subkey(_ purpose: Purpose) -> SecretBytes { derived.key(purpose, .sealing) }

    /// The 32-byte key under which values of one purpose are indexed; never the one that seals them.
    func indexKey(_ purpose: Purpose) -> SecretBytes { derived.key(purpose, .index) }
}
