import SignalProtocol

/// Signal records that messages have advanced and whose writes are on their way to the database. The next message goes on from these, so that
/// messages share a commit instead of waiting for each other's (protocol.md 9.9).
///
/// A write that fails needs no repair: its message never left, and to the recipient its key is one that was skipped. What a later message writes
/// lies further along the same chain and holds all of it, but for an identity seen for the first time, which is therefore said again.
struct AdvancedRecords {
    private struct Entry {
        var record: SignalRecord
        /// Messages whose writes hold this address and have not settled.
        var unsettled = 0
        /// One of these writes holds the identity, so nobody knows yet that it is stored.
        var owesIdentity = false
    }

    private var entries: [SignalAddress: Entry] = [:]

    /// Those of the addresses that are on their way; the store knows the others.
    func records(of addresses: [SignalAddress]) -> [SignalAddress: SignalRecord] {
        var known: [SignalAddress: SignalRecord] = [:]
        for address in addresses { known[address] = entries[address]?.record }
        return known
    }

    /// What a message has to write, with the identities that an earlier write, if it fails, would leave unsaid.
    func completed(_ changes: DeviceChanges) -> DeviceChanges {
        var changes = changes
        for address in changes.sessions.keys where changes.identities[address] == nil {
            guard let entry = entries[address], entry.owesIdentity, let identity = entry.record.identity else { continue }
            changes.identities[address] = .some(identity)
        }
        return changes
    }

    /// These writes are on their way; `records` is what the message was encrypted with. `settle` has to follow.
    mutating func advance(_ changes: DeviceChanges, from records: [SignalAddress: SignalRecord]) {
        for (address, session) in changes.sessions {
            var entry = entries[address] ?? Entry(record: records[address] ?? SignalRecord())
            entry.record.session = session
            if let identity = changes.identities[address] {
                entry.record.identity = identity
                entry.owesIdentity = true
            }
            entry.unsettled += 1
            entries[address] = entry
        }
    }

    /// These writes are durable, or have failed.
    mutating func settle(_ changes: DeviceChanges) {
        for address in changes.sessions.keys {
            entries[address]?.unsettled -= 1
            if let entry = entries[address], entry.unsettled <= 0 { entries[address] = nil }
        }
    }
}
