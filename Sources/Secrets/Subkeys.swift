import CSodium
import Primitives

/// Subkeys by libsodium's `crypto_kdf` (keyed BLAKE2b): one family per context, one key per number in it.
enum Subkeys {
    /// Eight bytes each, as `crypto_kdf` wants. They are part of the stored format.
    enum Context: String {
        case sealing = "wg-seal1"
        case index = "wg-indx1"
        case wrapping = "wg-wrap1"
        case gateway = "wg-gate1"
    }

    /// 32 bytes. `master` has 32 bytes: its owners check that when they are made.
    static func derive(_ number: UInt8, _ context: Context, from master: SecretBytes) -> SecretBytes {
        precondition(master.count == Int(crypto_kdf_keybytes()), "a master key has 32 bytes")
        Sodium.prepare()
        var key = [UInt8](repeating: 0, count: 32)
        defer { Sodium.wipe(&key) }
        let name = context.rawValue.utf8.map { CChar(bitPattern: $0) }
        master.withPointer { _ = crypto_kdf_derive_from_key(&key, key.count, UInt64(number), name, $0) }
        return SecretBytes(copying: key)
    }

    /// The first 16 bytes of a keyed BLAKE2b: equal values give equal indexes, and nobody without the key learns or tests a value.
    static func blindIndex(_ value: [UInt8], key: SecretBytes) -> [UInt8] {
        Sodium.prepare()
        var index = [UInt8](repeating: 0, count: 16)
        key.withPointer { _ = crypto_generichash(&index, index.count, value, UInt64(value.count), $0, key.count) }
        return index
    }
}
