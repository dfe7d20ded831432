import Domain
import Foundation
import WhatsApp
import WhatsAppWire

/// The counterparty cache: what WhatsApp says about a number or a user, for an hour at most. It never holds a name.
extension SealedDeviceStore {
    private struct StoredContact: Codable {
        var registered: Bool
        var lid: String?
        var phone: String?
    }

    func cachedContact(number: String) async throws -> CachedContact? {
        let now = now()
        if let known = memory.contact(number, now: now) { return known }
        guard let found = try await gateway.contacts.find(.contact, key: number, account: owner.account, now: now) else { return nil }
        let stored = try JSONDecoder().decode(StoredContact.self, from: Data(found.payload))
        let contact = CachedContact(
            isRegistered: stored.registered, lid: stored.lid.flatMap { JID($0) }, phone: stored.phone.flatMap { JID($0) })
        memory.keep(contact, number: number, from: found.fetchedAt, now: now)
        return contact
    }

    func cachedDevices(user: String) async throws -> CachedDevices? {
        let now = now()
        if let known = memory.devices(user, now: now) { return known }
        guard let found = try await gateway.contacts.find(.devices, key: user, account: owner.account, now: now) else { return nil }
        let devices = CachedDevices(devices: try JSONDecoder().decode([String].self, from: Data(found.payload)).compactMap { JID($0) })
        memory.keep(devices, user: user, from: found.fetchedAt, now: now)
        return devices
    }

    func cache(contact: CachedContact, number: String) async throws {
        let now = now()
        let stored = StoredContact(registered: contact.isRegistered, lid: contact.lid?.description, phone: contact.phone?.description)
        let payload = Array(try JSONEncoder().encode(stored))
        try await gateway.contacts.store(.contact, key: number, payload: payload, account: owner.account, now: now)
        memory.keep(contact, number: number, from: now, now: now)
    }

    func cache(devices: CachedDevices, user: String) async throws {
        let now = now()
        let payload = Array(try JSONEncoder().encode(devices.devices.map(\.description)))
        try await gateway.contacts.store(.devices, key: user, payload: payload, account: owner.account, now: now)
        memory.keep(devices, user: user, from: now, now: now)
    }

    func forgetDevices(user: String) async throws {
        memory.forgetDevices(user)
        try await gateway.contacts.forget(.devices, key: user, account: owner.account)
    }
}
