import Foundation
import SignalProtocol
import Synchronization
import WhatsApp

/// What one session remembers of its device's durable state, so that a message to somebody just written to reads nothing: the account's own
/// devices, contacts, and Signal records.
///
/// Records are written through: `committed` follows each commit, whichever is answered first, and what may or may not have been committed is
/// forgotten. While writes of an address are under way the client knows its record, and nobody asks here. They are right as long as this node holds the lease, since nobody else writes them; the session clears everything when the lease is lost. Contacts live until
/// the next full hour, when the hourly job empties their table, and never longer than an hour. Everything goes after half a minute without use.
final class DeviceMemory: Sendable {
    fileprivate struct Contact<Value: Sendable>: Sendable {
        var value: Value
        var until: Date
    }

    fileprivate struct Entry: Sendable {
        var record: SignalRecord
        /// Of the commit that wrote it last; 0: nothing is stored.
        var revision: Int64 = 0
    }

    fileprivate struct State {
        var contacts = RecentEntries<String, Contact<CachedContact>>(capacity: DeviceMemory.contactCapacity)
        var devices = RecentEntries<String, Contact<CachedDevices>>(capacity: DeviceMemory.contactCapacity)
        var records = RecentEntries<SignalAddress, Entry>(capacity: DeviceMemory.recordCapacity)
        /// Counts what makes an earlier read worthless: it is not taken afterwards.
        var version: UInt64 = 0
        /// Of the last write, or a later one that was found in the database.
        var revision: Int64 = 0
        /// The hour, since 1970, that the contacts belong to.
        var hour = 0
        var lastUse = ContinuousClock.now
        var isEmpty = true
    }

    fileprivate static let contactCapacity = 64
    fileprivate static let recordCapacity = 192
    private static let idleLimit: Duration = .seconds(30)

    private let state = Mutex(State())

    // MARK: Contacts

    func contact(_ number: String, now: Date) -> CachedContact? {
        state.withLock { state in
            guard let found = state.contacts.value(for: number), now < found.until else { return nil }
            return found.value
        }
    }

    func devices(_ user: String, now: Date) -> CachedDevices? {
        state.withLock { state in
            guard let found = state.devices.value(for: user), now < found.until else { return nil }
            return found.value
        }
    }

    /// - Parameter from: when the server said so.
    func keep(_ contact: CachedContact, number: String, from: Date, now: Date) {
        state.withLock { state in
            guard let until = state.admitContact(from: from, now: now) else { return }
            state.contacts.insert(Contact(value: contact, until: until), for: number)
        }
    }

    func keep(_ devices: CachedDevices, user: String, from: Date, now: Date) {
        state.withLock { state in
            guard let until = state.admitContact(from: from, now: now) else { return }
            state.devices.insert(Contact(value: devices, until: until), for: user)
        }
    }

    func forgetDevices(_ user: String) { state.withLock { $0.devices.remove(user) } }

    // MARK: Signal records

    /// The records that are known (an empty one: nothing is stored), and the version to give back with the others.
    func records(_ addresses: [SignalAddress]) -> (known: [SignalAddress: SignalRecord], version: UInt64) {
        state.withLock { state in
            state.used()
            var known: [SignalAddress: SignalRecord] = [:]
            for address in addresses {
                if let entry = state.records.value(for: address) { known[address] = entry.record }
            }
            return (known, state.version)
        }
    }

    /// Takes what was read, unless it is known meanwhile or may be outdated. An address that is missing in `found` has nothing stored.
    /// - Parameter revisions: of the rows that were found.
    func keep(
        _ found: [SignalAddress: SignalRecord], of addresses: [SignalAddress], revisions: [SignalAddress: Int64] = [:], version: UInt64
    ) {
        state.withLock { state in
            guard state.version == version else { return }
            state.used()
            for address in addresses where state.records.value(for: address) == nil {
                state.records.insert(Entry(record: found[address] ?? SignalRecord(), revision: revisions[address] ?? 0), for: address)
            }
        }
    }

    /// The revision of the writes that come next; higher than any before, also of this sender's earlier owners.
    func nextRevision() -> Int64 {
        state.withLock { state in
            state.revision += 1
            return state.revision
        }
    }

    /// A row in the database has this revision.
    func saw(revision: Int64) { state.withLock { $0.revision = max($0.revision, revision) } }

    /// These writes are durable. They may have become so after later ones.
    func committed(_ changes: DeviceChanges, revision: Int64) {
        guard changes.touchesRecords else { return }
        state.withLock { state in
            if changes.erasesDevice {
                state.version += 1
                state.records.removeAll()
            }
            for address in Set(changes.sessions.keys).union(changes.identities.keys) {
                // What is not known in full is not made up from half of it, nor from what was read before this.
                guard var entry = state.records.value(for: address) else {
                    state.version += 1
                    continue
                }
                guard entry.revision < revision else { continue }
                if let session = changes.sessions[address] { entry.record.session = session }
                if let identity = changes.identities[address] { entry.record.identity = identity }
                entry.revision = revision
                state.records.insert(entry, for: address)
            }
        }
    }

    /// Nobody knows whether these writes are durable.
    func doubted(_ changes: DeviceChanges) {
        guard changes.touchesRecords else { return }
        state.withLock { state in
            state.version += 1
            if changes.erasesDevice { return state.records.removeAll() }
            for address in changes.sessions.keys { state.records.remove(address) }
            for address in changes.identities.keys { state.records.remove(address) }
        }
    }

    // MARK: Forgetting

    /// Drops contacts whose hour is over, and everything that was not used for a while. Called every few seconds.
    func tidy(now: Date) {
        state.withLock { state in
            guard !state.isEmpty else { return }
            if state.lastUse.duration(to: .now) > Self.idleLimit { return state.clear() }
            if State.hour(of: now) != state.hour { state.clearContacts() }
        }
    }

    /// Drops everything: the lease is lost, or another connection begins.
    func clear() { state.withLock { $0.clear() } }

    /// Contacts and records held now, for tests and figures.
    var count: Int { state.withLock { $0.contacts.count + $0.devices.count + $0.records.count } }
}

extension DeviceMemory.State {
    fileprivate static func hour(of time: Date) -> Int { Int((time.timeIntervalSince1970 / 3_600).rounded(.down)) }

    fileprivate mutating func used() {
        lastUse = .now
        isEmpty = false
    }

    /// Until when something that was said at `from` may be kept; nil: not at all. Contacts of an earlier hour go.
    fileprivate mutating func admitContact(from: Date, now: Date) -> Date? {
        let hour = Self.hour(of: now)
        if hour != self.hour {
            clearContacts()
            self.hour = hour
        }
        used()
        let until = min(from.addingTimeInterval(3_600), Date(timeIntervalSince1970: Double(hour + 1) * 3_600))
        return from <= now && now < until ? until : nil
    }

    fileprivate mutating func clearContacts() {
        contacts.removeAll()
        devices.removeAll()
    }

    fileprivate mutating func clear() {
        clearContacts()
        records.removeAll()
        version += 1
        isEmpty = true
    }
}

extension DeviceChanges {
    fileprivate var touchesRecords: Bool { erasesDevice || !sessions.isEmpty || !identities.isEmpty }
}
