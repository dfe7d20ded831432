import Foundation
import Primitives
import SignalProtocol
import WhatsAppWire

/// The iqs of a linked device. What we do not play is answered harmlessly, so that a foreign client gets to its work.
extension ServerState {
    mutating func request(_ stanza: Node, from device: DeviceReference, connection: Int) {
        switch stanza.string("type") {
        case "get", "set": break
        default: return
        }
        switch (stanza.string("xmlns"), stanza.string("type")) {
        case ("w:p", _), ("urn:xmpp:ping", _):
            if !behaviour(ofSender: device.account).mutesPings { answer(stanza, to: connection) }
        case ("encrypt", _): preKeyRequest(stanza, from: device, connection: connection)
        case ("passive", _):
            answer(stanza, to: connection)
            if stanza.child("active") != nil { activate(device, connection: connection) }
            if stanza.child("passive") != nil { accounts[device.account].linked[device.device]?.isActive = false }
        case ("usync", _):
            if let code = behaviour(ofSender: device.account).queryError {
                return refuse(stanza, to: connection, code: code, text: code == 429 ? "rate-overlimit" : "internal-server-error")
            }
            answer(stanza, to: connection, children: [query(stanza)])
        case ("md", "set"):
            guard let removal = stanza.child("remove-companion-device") else {
                return refuse(stanza, to: connection, code: 404, text: "item-not-found")
            }
            answer(stanza, to: connection)
            let number = removal.address("jid")?.device ?? device.device
            unlink(DeviceReference(account: device.account, device: number))
        case ("privacy", "get"):
            let categories = ["last", "online", "profile", "status", "readreceipts", "groupadd", "calladd"]
            let nodes = categories.map { Node("category", ["name": .string($0), "value": "all"]) }
            answer(stanza, to: connection, children: [Node("privacy", children: nodes)])
        case ("w:m", _): answer(stanza, to: connection, children: [mediaConnection()])
        case ("abt", _): answer(stanza, to: connection, children: [Node("props", ["protocol": "1", "refresh": "86400"])])
        case ("w", "get"): answer(stanza, to: connection, children: [Node("props", ["refresh": "86400"])])
        case ("blocklist", _): answer(stanza, to: connection, children: [Node("list", ["dhash": "sim"])])
        case ("w:mex", _): answer(stanza, to: connection, children: [mex(stanza)])
        case ("w:sync:app:state", _):
            let collections = (stanza.child("sync")?.children("collection") ?? []).prefix(16).map {
                Node("collection", ["name": $0.string("name").map { .string($0) }, "version": "0"])
            }
            answer(stanza, to: connection, children: [Node("sync", children: Array(collections))])
        case ("w:g2", "get"):
            guard stanza.child("participating") != nil else { return refuse(stanza, to: connection, code: 404, text: "item-not-found") }
            answer(stanza, to: connection, children: [Node("groups")])
        case (_, "get"): refuse(stanza, to: connection, code: 404, text: "item-not-found")
        default: answer(stanza, to: connection)
        }
    }

    /// The client wants its queue: everything not acknowledged goes out once more, and the phone greets a new companion.
    private mutating func activate(_ device: DeviceReference, connection: Int) {
        guard let linked = accounts[device.account].linked[device.device], !linked.isActive, let port = connections[connection]?.port else { return }
        let queued = linked.queue.inOrder
        let count = AttributeValue.number(queued.count)
        func kind(_ tag: String) -> AttributeValue { .number(queued.count { $0.tag == tag }) }
        port.send(
            Node(
                "ib",
                children: [
                    Node(
                        "offline_preview",
                        [
                            "count": count, "message": kind("message"), "receipt": kind("receipt"), "notification": kind("notification"),
                            "appdata": "0",
                        ])
                ]))
        for var stanza in queued {
            stanza.attributes["offline"] = "0"
            port.send(stanza)
        }
        port.send(Node("ib", children: [Node("offline", ["count": count])]))
        accounts[device.account].linked[device.device]?.isActive = true
        if !linked.isGreeted {
            accounts[device.account].linked[device.device]?.isGreeted = true
            greet(device)
        }
    }

    /// No media store stands behind it: uploads come with a later issue.
    private func mediaConnection() -> Node {
        Node(
            "media_conn", ["auth": "simulator", "ttl": "3600", "auth_ttl": "3600", "max_buckets": "12"],
            children: [Node("host", ["hostname": "localhost"])])
    }

    /// No account is restricted.
    private func mex(_ stanza: Node) -> Node {
        let json = """
            {"data":{"xwa2_fetch_account_reachout_timelock":{"is_active":false,"enforcement_type":"DEFAULT"},\
            "xwa2_message_capping_info":{"total_quota":-1,"used_quota":0,"capping_status":"NONE"}}}
            """
        return Node("result", bytes: Array(json.utf8))
    }

    // MARK: Answers

    func answer(_ request: Node, to connection: Int, children: [Node] = []) {
        guard let id = request.string("id") else { return }
        connections[connection]?.port.send(
            Node(
                "iq", ["from": .jid(request.jid("to") ?? .server), "type": "result", "id": .string(id)],
                content: children.isEmpty ? .none : .nodes(children)))
    }

    func refuse(_ request: Node, to connection: Int, code: Int, text: String) {
        guard let id = request.string("id") else { return }
        connections[connection]?.port.send(
            Node(
                "iq", ["from": .jid(request.jid("to") ?? .server), "type": "error", "id": .string(id)],
                children: [Node("error", ["code": .number(code), "text": .string(text)])]))
    }
}

extension Node {
    /// The attribute as an address, also where a client wrote it as text.
    func address(_ key: String) -> JID? { jid(key) ?? string(key).flatMap { JID($0) } }
}
