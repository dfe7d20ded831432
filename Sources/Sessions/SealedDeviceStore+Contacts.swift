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
        guard let opened = try await gateway.contacts.find(.contact, key: number, account: owner.account, now: now()) else { return nil }
        let stored = try JSONDecoder().decode(StoredContact.self, from: Data(opened))
        return CachedContact(isRegistered: stored.registered, lid: stored.lid.flatMap { JID($0) }, phone: stored.phone.flatMap { JID($0) })
    }

    func cachedDevices(user: String) async throws -> CachedDevices? {
        guard let opened = try await gateway.contacts.find(.devices, key: user, account: owner.account, now: now()) else { return nil }
        return CachedDevices(devices: try JSONDecoder().decode([String].self, from: Data(opened)).compactMap { JID($0) })
    }

    func cache(contact: CachedContact, number: String) async throws {
        let stored = StoredContact(registered: contact.isRegistered, lid: contact.lid?.description, phone: contact.phone?.description)
        let payload = Array(try JSONEncoder().encode(stored))
        try await gateway.contacts.store(.contact, key: number, payload: payload, account: owner.account, now: now())
    }

    func cache(devices: CachedDevices, user: String) async throws {
        let payload = Array(try JSONEncoder().encode(devices.devices.map(\.description)))
        try await gateway.contacts.store(.devices, key: user, payload: payload, account: owner.account, now: now())
    }

    func forgetDevices(user: String) async throws {
        try await gateway.contacts.forget(.devices, key: user, account: owner.account)
    }
}
