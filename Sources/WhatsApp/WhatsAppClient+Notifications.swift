import SignalProtocol
import WhatsAppWire

/// The notifications that change what this device believes (protocol.md 7.5, 9.8). All others are acknowledged where they arrive.
extension WhatsAppClient {
    func take(notification node: Node) async {
        do {
            switch node.string("type") {
            case "encrypt": try await encryptionChanged(node)
            case "devices": try await devicesChanged(node)
            case "account_sync": try await accountChanged(node)
            default: break
            }
            acknowledge(node)
        } catch {
            // Not acknowledged: the server sends it again.
            logger.warning("notification could not be recorded")
        }
    }

    private func encryptionChanged(_ node: Node) async throws {
        if let count = node.child("count")?.smallNumber("value") {
            if count < Self.lowWatermark { await refillPreKeys(serverCount: count) }
            return
        }
        guard node.child("identity") != nil, let user = node.jid("from"), user.isPrimaryDevice, let credentials, !credentials.isOwnUser(user) else {
            return
        }
        var users = [user.bare]
        if let lid = node.jid("lid")?.bare { users.append(lid) }
        if user.server == .phone, let lid = try await store.cachedContact(number: user.user)?.lid { users.append(lid) }
        try await forget(sessionsOf: users, where: { _ in true })
        await observer.identityChanged()
    }

    private func devicesChanged(_ node: Node) async throws {
        let users = [node.jid("from"), node.jid("lid")].compactMap { $0?.bare }.filter { !$0.isServer }
        for user in users { try await store.forgetDevices(user: user.description) }
        // A number's notification names the LID in its children at best; the cached mapping tells it otherwise.
        for user in users where user.server == .phone {
            if let lid = try await store.cachedContact(number: user.user)?.lid { try await store.forgetDevices(user: lid.description) }
        }
        if let credentials, users.contains(where: credentials.isOwnUser) { try await store.forgetDevices(user: credentials.lid.bare.description) }
        for change in node.children where ["add", "remove", "update"].contains(change.tag) {
            for device in change.children("device") {
                guard let lid = device.jid("lid") ?? device.jid("jid") else { continue }
                try await store.forgetDevices(user: lid.bare.description)
                if change.tag == "remove", lid.device != 0, users.contains(where: { $0.user == lid.user }) || device.jid("lid") != nil {
                    try await forget(sessionsOf: [lid.bare], where: { $0.device == UInt32(lid.device) })
                }
            }
        }
    }

    private func accountChanged(_ node: Node) async throws {
        guard node.child("devices") != nil, let credentials else { return }
        try await store.forgetDevices(user: credentials.lid.bare.description)
    }

    private func forget(sessionsOf users: [JID], where isMeant: (SignalAddress) -> Bool) async throws {
        try await withSettledSignals {
            var changes = DeviceChanges()
            for user in users {
                // Devices hosted by Meta stand under a name of their own (protocol.md 4.4).
                let hosted = JID(user: user.user, server: user.server == .lid ? .hostedLID : .hosted)
                for name in [user.signalName, hosted.signalName] {
                    for address in try await store.addresses(ofUser: name) where isMeant(address) {
                        // An empty session, not none: a write of before that comes late finds something newer, and leaves it alone.
                        changes.sessions[address] = .some(SessionRecord())
                        changes.identities[address] = .some(nil)
                    }
                }
                try await store.forgetDevices(user: user.description)
            }
            if !changes.isEmpty { try await store.commit(changes) }
        }
    }
}
