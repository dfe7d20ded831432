import Primitives
import SignalProtocol
import Synchronization
import WhatsAppWire

@testable import WhatsApp

/// A device store in memory, as strict as a real one about what may follow what.
actor MemoryDeviceStore: DeviceStore {
    private(set) var current: DeviceCredentials?
    private(set) var records: [SignalAddress: SignalRecord] = [:]
    private(set) var contacts: [String: CachedContact] = [:]
    private(set) var deviceLists: [String: CachedDevices] = [:]
    private(set) var sent: [String: SentMessage] = [:]
    private(set) var forgotten: [String] = []
    private(set) var commits = 0
    private(set) var removedPreKeys: [UInt32] = []
    private var oneTimeKeys: [UInt32: (key: PreKeyPair, isUploaded: Bool)] = [:]
    private var nextPreKeyID: UInt32 = 1
    private var everUploaded = false
    private var isBroken = false
    /// The latest pre-wire that wrote a session, by address.
    private var latest: [SignalAddress: Int] = [:]
    private nonisolated let order = Mutex(0)

    struct Broken: Error {}

    private var beforeRead: @Sendable () async -> Void = {}

    /// Runs at the beginning of every read of Signal records.
    func beforeRead(_ wait: @escaping @Sendable () async -> Void) { beforeRead = wait }
    func setBroken(_ broken: Bool) { isBroken = broken }
    func dropSessions() { records = [:] }

    func credentials() async throws -> DeviceCredentials? {
        // Through the bytes that would be sealed, so that their form is tested as well.
        guard let current else { return nil }
        return try DeviceCredentials(serialized: try current.serialized())
    }

    func commit(_ changes: DeviceChanges) async throws {
        guard !isBroken else { throw Broken() }
        commits += 1
        if changes.erasesDevice {
            current = nil
            records = [:]
            oneTimeKeys = [:]
            nextPreKeyID = 1
            everUploaded = false
        }
        if let credentials = changes.credentials { current = credentials }
        for (address, session) in changes.sessions { records[address, default: SignalRecord()].session = session }
        for (address, identity) in changes.identities { records[address, default: SignalRecord()].identity = identity }
        for key in changes.newPreKeys {
            precondition(key.id >= nextPreKeyID, "a prekey id was used twice")
            oneTimeKeys[key.id] = (key, false)
            nextPreKeyID = key.id + 1
        }
        for id in changes.uploadedPreKeys {
            oneTimeKeys[id]?.isUploaded = true
            everUploaded = true
        }
        for id in changes.removedPreKeys { oneTimeKeys[id] = nil }
        removedPreKeys += changes.removedPreKeys
    }

    /// What a pre-wire closure does first: takes its place among the others.
    nonisolated func queue() -> Int {
        order.withLock { order in
            order += 1
            return order
        }
    }

    /// And what it does then: ratchets and kept plaintext together. What a later one wrote stays.
    func commit(_ preWire: PreWire, place: Int) async throws {
        var changes = preWire.changes
        for address in changes.sessions.keys where latest[address, default: 0] > place { changes.sessions[address] = nil }
        try await commit(changes)
        for address in changes.sessions.keys { latest[address] = place }
        sent[preWire.sent.id] = preWire.sent
    }

    func signalRecords(for addresses: [SignalAddress]) async throws -> [SignalAddress: SignalRecord] {
        await beforeRead()
        var found: [SignalAddress: SignalRecord] = [:]
        for address in addresses {
            guard let record = records[address], record.session != nil || record.identity != nil else { continue }
            let session = try record.session.map { try SessionRecord(serialized: $0.serialized()) }
            found[address] = SignalRecord(session: session, identity: record.identity)
        }
        return found
    }

    func addresses(ofUser name: String) async throws -> [SignalAddress] { records.keys.filter { $0.name == name } }
    func preKeys(_ ids: [UInt32]) async throws -> [PreKeyPair] { ids.compactMap { oneTimeKeys[$0]?.key } }

    func unuploadedPreKeys(limit: Int) async throws -> [PreKeyPair] {
        Array(oneTimeKeys.values.filter { !$0.isUploaded }.map(\.key).sorted { $0.id < $1.id }.prefix(limit))
    }

    func preKeyState() async throws -> (nextID: UInt32, unuploaded: Int, everUploaded: Bool) {
        (nextPreKeyID, oneTimeKeys.values.filter { !$0.isUploaded }.count, everUploaded)
    }

    func cachedContact(number: String) async throws -> CachedContact? { contacts[number] }
    func cachedDevices(user: String) async throws -> CachedDevices? { deviceLists[user] }
    func cache(contact: CachedContact, number: String) async throws { contacts[number] = contact }
    func cache(devices: CachedDevices, user: String) async throws { deviceLists[user] = devices }

    func forgetDevices(user: String) async throws {
        forgotten.append(user)
        deviceLists[user] = nil
    }

    func sentMessage(id: String) async throws -> SentMessage? { sent[id] }
}
