import Primitives
import Synchronization

/// The subkeys of one data key, each derived when it is first asked for and kept until the data key goes; wiped then.
final class DerivedKeys: Sendable {
    private struct Slot: Hashable {
        let context: Subkeys.Context
        let purpose: Purpose
    }

    let master: SecretBytes
    private let known = Mutex<[Slot: SecretBytes]>([:])

    init(master: SecretBytes) { self.master = master }

    func key(_ purpose: Purpose, _ context: Subkeys.Context) -> SecretBytes {
        let slot = Slot(context: context, purpose: purpose)
        if let key = known.withLock({ $0[slot] }) { return key }
        let key = Subkeys.derive(purpose.rawValue, context, from: master)
        known.withLock { $0[slot] = key }
        return key
    }
}
