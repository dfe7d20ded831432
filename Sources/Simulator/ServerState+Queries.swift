import WhatsAppWire

/// usync: who is on WhatsApp, under which LID, with which devices (protocol.md 10.1, 10.2).
extension ServerState {
    /// The protocols we answer. Clients ask for more (names, pictures, business facts); those are left out of the answer.
    private struct Query {
        var contact = false
        var prefersLID = false
        var lid = false
        var devices = false
    }

    mutating func query(_ stanza: Node) -> Node {
        guard let usync = stanza.child("usync") else { return Node("usync") }
        var query = Query()
        for node in usync.child("query")?.children ?? [] {
            switch node.tag {
            case "contact":
                query.contact = true
                query.prefersLID = node.string("addressing_mode") == "lid"
            case "lid": query.lid = true
            case "devices": query.devices = true
            default: break
            }
        }
        var attributes = usync.attributes
        attributes["result"] = nil
        let users = (usync.child("list")?.children("user") ?? []).map { answer($0, query) }
        let results = [("contact", query.contact), ("lid", query.lid), ("devices", query.devices)].filter(\.1).map { Node($0.0) }
        return Node(tag: "usync", attributes: attributes, content: .nodes([Node("result", children: results), Node("list", children: users)]))
    }

    private mutating func answer(_ user: Node, _ query: Query) -> Node {
        let contact = user.child("contact")
        let asked = contact?.contentText
        let jid = user.address("jid") ?? user.address("pn_jid") ?? asked.flatMap(Self.jid(contact:))
        guard let jid, let index = makeAccount(of: jid), accounts[index].behaviour.isOnWhatsApp else {
            var children: [Node] = []
            if query.contact { children.append(Node("contact", ["type": "out"], content: contact?.content ?? .none)) }
            if query.devices { children.append(Node("devices", children: [Node("device-list")])) }
            return Node("user", ["jid": jid.map { .jid($0.server == .legacy ? .phone($0.user) : $0.bare) }], children: children)
        }
        let account = accounts[index]
        let hasLID = account.behaviour.hasLID
        // A question about an address is answered under the same one; a contact under the LID, if the client wants that.
        let byContact = user.address("jid") == nil
        let underLID = byContact ? hasLID && query.prefersLID : jid.server == .lid || jid.server == .hostedLID
        var children: [Node] = []
        if query.contact { children.append(Node("contact", ["type": "in"], content: contact?.content ?? .none)) }
        if query.lid, hasLID { children.append(Node("lid", ["val": .jid(account.lidJID())])) }
        if query.devices { children.append(devices(of: index)) }
        return Node(
            "user",
            [
                "jid": .jid(underLID ? account.lidJID() : account.phoneJID()),
                "pn_jid": underLID && byContact ? .jid(account.phoneJID()) : nil,
            ], children: children)
    }

    /// `+1555…@c.us`, `+1555…`, or without the plus.
    private static func jid(contact text: String) -> JID? {
        let user = text.split(separator: "@", maxSplits: 1).first.map(String.init) ?? text
        return PhoneNumber.parse(user).map { .phone($0) }
    }

    private mutating func devices(of index: Int) -> Node {
        let list = accounts[index].keyIndexList ?? AccountSigning.keyIndexList(of: accounts[index], now: now, random: random)
        accounts[index].keyIndexList = list
        let account = accounts[index]
        let nodes = account.devices.map { device in
            Node("device", ["id": .number(device), "key-index": device == 0 ? nil : .number(account.keyIndex(device))])
        }
        return Node(
            "devices",
            children: [Node("device-list", children: nodes), Node("key-index-list", ["ts": .number(now)], bytes: list)])
    }
}
