import Primitives
import SignalProtocol
import WhatsAppWire

/// Questions about recipients (protocol.md 10.1 to 10.3). Asks only what the store's cache does not know.
extension WhatsAppClient {
    /// The LID and number of a recipient.
    func resolve(_ number: String, refresh: Bool) async throws(SendFailure) -> (lid: JID, phone: JID) {
        let contact: CachedContact
        if !refresh, let cached = try await stored({ try await $0.cachedContact(number: number) }) {
            contact = cached
        } else {
            contact = try await ask(about: number)
            try await stored { try await $0.cache(contact: contact, number: number) }
        }
        guard contact.isRegistered else { throw SendFailure(.notOnWhatsApp) }
        guard let lid = contact.lid else { throw SendFailure(.noLID) }
        return (lid, contact.phone ?? .phone(number))
    }

    private func ask(about number: String) async throws(SendFailure) -> CachedContact {
        let asked = "+\(number)@c.us"
        let answer = try await usync(
            mode: "query", context: "interactive", query: [Node("contact", ["addressing_mode": "lid"])],
            users: [Node("user", children: [Node("contact", text: asked)])])
        if let code = answer.child("usync")?.child("result")?.child("contact")?.child("error")?.smallNumber("code") {
            throw SendFailure(.resolveFailed(code: code))
        }
        let users = answer.child("usync")?.child("list")?.children("user") ?? []
        let echoes = [asked, "+" + number, number]
        let matching = users.first { user in echoes.contains(user.child("contact")?.contentText ?? "") }
        // One number was asked, so a single answer without an echo is its answer as well.
        guard let user = matching ?? (users.count == 1 ? users.first : nil), let contact = user.child("contact") else {
            throw SendFailure(.resolveFailed(code: 0), detail: "no user in the answer")
        }
        guard contact.string("type") == "in" else {
            guard contact.string("type") == "out" else { throw SendFailure(.resolveFailed(code: 0), detail: "no verdict in the answer") }
            return CachedContact(isRegistered: false, lid: nil, phone: nil)
        }
        let jid = user.jid("jid")
        let phone = (jid?.server == .phone ? jid : user.jid("pn_jid"))?.bare
        var lid = (jid?.server == .lid ? jid : user.jid("lid"))?.bare
        if lid == nil, let phone { lid = try await askLID(of: phone) }
        return CachedContact(isRegistered: true, lid: lid, phone: phone)
    }

    private func askLID(of phone: JID) async throws(SendFailure) -> JID? {
        let answer = try await usync(mode: "full", context: "background", query: [Node("lid")], users: [Node("user", ["jid": .jid(phone)])])
        let lid = answer.child("usync")?.child("list")?.children("user").first?.child("lid")?.jid("val")
        return lid?.server == .lid ? lid?.bare : nil
    }

    /// Device lists of bare LIDs, by user; an absent entry means that the server said nothing.
    func devices(of users: [JID], refresh: Bool) async throws(SendFailure) -> [JID: [JID]] {
        var known: [JID: [JID]] = [:]
        var unknown: [JID] = []
        for user in users where known[user] == nil {
            if !refresh, let cached = try await stored({ try await $0.cachedDevices(user: user.description) }) {
                known[user] = cached.devices
            } else if !unknown.contains(user) {
                unknown.append(user)
            }
        }
        guard !unknown.isEmpty else { return known }
        let answer = try await usync(
            mode: "query", context: "message", query: [Node("devices", ["version": "2"])], users: unknown.map { Node("user", ["jid": .jid($0)]) })
        for node in answer.child("usync")?.child("list")?.children("user") ?? [] {
            guard let user = node.jid("jid")?.bare, unknown.contains(user), let list = node.child("devices")?.child("device-list") else { continue }
            let devices = Self.devices(in: list, of: user)
            known[user] = devices
            try await stored { try await $0.cache(devices: CachedDevices(devices: devices), user: user.description) }
        }
        return known
    }

    /// Companions without a key index are skipped (protocol.md 10.2).
    static func devices(in list: Node, of user: JID) -> [JID] {
        var devices: [JID] = []
        for node in list.children("device").prefix(maximumDevices) {
            guard let id = node.uint("id").flatMap(UInt16.init(exactly:)), id == 0 || node.attributes["key-index"] != nil else { continue }
            let server = node.string("is_hosted") == "true" ? JID.Server.hostedLID : user.server
            let device = JID(user: user.user, server: server, device: id)
            if !devices.contains(device) { devices.append(device) }
        }
        return devices
    }

    /// Bundles of devices without a session. A device whose bundle is missing or invalid is absent from the answer.
    func fetchBundles(for devices: [JID]) async throws(RequestFailure) -> [JID: PreKeyBundle] {
        let question = Node(
            "iq", ["to": .jid(.server), "type": "get", "xmlns": "encrypt"],
            children: [Node("key", children: devices.map { Node("user", ["jid": .jid($0), "reason": "identity"]) })])
        let answer = try await request(question, timeout: configuration.requestTimeout)
        var bundles: [JID: PreKeyBundle] = [:]
        for node in answer.child("list")?.children("user") ?? [] {
            guard let device = node.jid("jid"), devices.contains(device) else { continue }
            guard node.child("error") == nil, let bundle = PreKeyBundle(node) else {
                logger.warning("a device has no usable prekey bundle")
                continue
            }
            bundles[device] = bundle
        }
        return bundles
    }

    private func usync(mode: String, context: String, query: [Node], users: [Node]) async throws(SendFailure) -> Node {
        let session = Hex.encode(random.bytes(8))
        let question = Node(
            "iq", ["to": .jid(.server), "type": "get", "xmlns": "usync"],
            children: [
                Node(
                    "usync",
                    ["sid": .string(session), "mode": .string(mode), "last": "true", "index": "0", "context": .string(context)],
                    children: [Node("query", children: query), Node("list", children: users)])
            ])
        do throws(RequestFailure) {
            return try await request(question, timeout: configuration.requestTimeout)
        } catch {
            throw Self.resolveFailure(error)
        }
    }

    static func resolveFailure(_ failure: RequestFailure) -> SendFailure {
        switch failure {
        case .notConnected: SendFailure(.notReady)
        case .disconnected: SendFailure(.disconnected)
        case .canceled: SendFailure(.canceled)
        case .timedOut: SendFailure(.resolveFailed(code: 0), detail: "no answer")
        case .refused(let code): SendFailure(.resolveFailed(code: code))
        }
    }

    /// A call of the store, its error wrapped.
    @discardableResult
    func stored<Result: Sendable>(_ body: (any DeviceStore) async throws -> Result) async throws(SendFailure) -> Result {
        do {
            return try await body(store)
        } catch {
            throw SendFailure(.storeFailed, cause: error)
        }
    }

    private static let maximumDevices = 100
}
