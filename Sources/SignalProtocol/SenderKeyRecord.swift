import Primitives

/// One sender's keys in one group: our own (then it can encrypt), or those that another member sent us. Newest first.
///
/// A plain value like `SessionRecord`. The own sender's address is the group's JID and the own LID address (protocol.md 11).
package struct SenderKeyRecord: Sendable {
    /// Beyond this many the oldest key is dropped.
    package static let maximumStates = 5
    private static let version: UInt8 = 1

    struct State: Sendable {
        let keyID: UInt32
        let signingKey: PublicKey
        /// Only in our own record.
        let signingPrivateKey: [UInt8]?
        var chain: MessageChain
    }

    private(set) var states: [State] = []

    /// A record without keys.
    package init() {}

    /// Reads what `serialized` wrote: `1 | number of keys (1)`, each: key id (4), public signing key, own (1) [private signing key], chain key, iteration (4),
    /// number of skipped seeds (2), those (36 each).
    ///
    /// - Throws: `invalidRecord` for anything else.
    package init(serialized bytes: [UInt8]) throws(SignalError) {
        var reader = RecordReader(bytes)
        guard try reader.byte() == Self.version else { throw SignalError(.invalidRecord) }
        let count = Int(try reader.byte())
        guard count <= Self.maximumStates else { throw SignalError(.invalidRecord) }
        for _ in 0..<count {
            let keyID = try reader.number32()
            let signingKey = try reader.publicKey()
            let privateKey: [UInt8]?
            switch try reader.byte() {
            case 0: privateKey = nil
            case 1: privateKey = try reader.take(32)
            default: throw SignalError(.invalidRecord)
            }
            states.append(State(keyID: keyID, signingKey: signingKey, signingPrivateKey: privateKey, chain: try MessageChain(reading: &reader)))
        }
        try reader.finish()
    }

    /// For the database. Holds secret keys: seal it.
    package func serialized() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(states.reduce(2) { $0 + 107 + $1.chain.skipped.packed.count })
        bytes.append(Self.version)
        bytes.append(UInt8(truncatingIfNeeded: states.count))
        for state in states {
            bytes.append(number32: state.keyID)
            bytes += state.signingKey.bytes
            bytes.append(state.signingPrivateKey == nil ? 0 : 1)
            bytes += state.signingPrivateKey ?? []
            state.chain.serialize(into: &bytes)
        }
        return bytes
    }

    /// No key at all.
    package var isEmpty: Bool { states.isEmpty }

    /// The newest key's id.
    package var currentKeyID: UInt32? { states.first?.keyID }

    /// Makes `state` the newest. One with the same id is another key's and goes.
    mutating func add(_ state: State) {
        states.removeAll { $0.keyID == state.keyID }
        states.insert(state, at: 0)
        if states.count > Self.maximumStates { states.removeLast() }
    }

    /// Replaces the state at `index` by what a message has made of it.
    mutating func advance(_ index: Int, to chain: MessageChain) {
        states[index].chain = chain
    }
}

extension SenderKeyRecord: CustomStringConvertible, CustomReflectable {
    package var description: String { "SenderKeyRecord(redacted)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
