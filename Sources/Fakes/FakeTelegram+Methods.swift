import Foundation
import Synchronization

/// The methods of the Bot API, with what its documentation allows.
extension FakeTelegram {
    private static let page = "core.telegram.org/bots/api"
    private static let methods: Set<String> = [
        "getMe", "getUpdates", "sendMessage", "editMessageText", "editMessageReplyMarkup", "answerCallbackQuery", "setWebhook", "deleteWebhook",
        "getChat",
    ]

    func answer(_ request: FakeRequest) async -> FakeAnswer {
        if request.path.hasPrefix("/control/") { return control(request) }
        let prefix = "/bot\(token)/"
        guard request.path.hasPrefix(prefix) else {
            // A wrong token. (#authorizing-your-bot)
            return refuse(401, "Unauthorized")
        }
        let method = String(request.path.dropFirst(prefix.count))
        arrived(Call(method: method, body: request.body, at: now()))
        guard Self.methods.contains(method) else {
            complain("\(Self.page)#available-methods: \(method) is no method that the gateway uses")
            return refuse(404, "Not Found")
        }
        // #making-requests
        if request.method != "POST" && request.method != "GET" { complain("\(Self.page)#making-requests: \(request.method)") }
        if !request.body.isEmpty, request.headers["content-type"]?.hasPrefix("application/json") != true {
            complain("\(Self.page)#making-requests: \(method) has a body that is not application/json")
        }
        guard let fields = request.body.isEmpty ? [:] : request.object else {
            complain("\(Self.page)#making-requests: \(method) has a body that is no JSON object")
            return refuse(400, "Bad Request: can't parse JSON object")
        }
        let order = state.withLock { state -> Order? in
            guard state.orders[method]?.isEmpty == false else { return nil }
            return state.orders[method]?.removeFirst()
        }
        switch order {
        case .flood(let seconds): return refuse(429, "Too Many Requests: retry after \(seconds)", ["retry_after": seconds])
        case .blocked: return refuse(403, "Forbidden: bot was blocked by the user")
        case .chatNotFound: return refuse(400, "Bad Request: chat not found")
        case .migrated(let id): return refuse(400, "Bad Request: group chat was upgraded to a supergroup chat", ["migrate_to_chat_id": id])
        case .conflict: return refuse(409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running")
        case .unauthorized: return refuse(401, "Unauthorized")
        case .server(let status): return refuse(status, "Internal Server Error")
        case .close: return .close
        case .garbage: return .json(200, Array("<html>".utf8))
        case .hangAfterAccept:
            _ = await perform(method, fields)
            return .hang
        case .closeAfterAccept:
            _ = await perform(method, fields)
            return .close
        case nil: return await perform(method, fields)
        }
    }

    private func perform(_ method: String, _ fields: [String: Any]) async -> FakeAnswer {
        switch method {
        case "getMe":
            return accept([
                "id": botID, "is_bot": true, "first_name": "Gateway", "username": userName, "can_join_groups": true,
                "can_read_all_group_messages": false, "supports_inline_queries": false,
            ])
        case "getUpdates": return await updates(fields)
        case "sendMessage": return send(fields)
        case "editMessageText": return editText(fields)
        case "editMessageReplyMarkup": return editButtons(fields)
        case "answerCallbackQuery": return answerPress(fields)
        case "setWebhook": return setWebhook(fields)
        case "deleteWebhook":
            state.withLock { $0.webhook = nil }
            return accept(true)
        case "getChat":
            guard let id = Self.number(fields["chat_id"]), let chat = state.withLock({ $0.chats[id] }) else {
                return refuse(400, "Bad Request: chat not found")
            }
            return accept(Self.json(chat))
        default: return refuse(404, "Not Found")
        }
    }

    // MARK: Updates

    /// #getupdates: `offset` confirms what is before it, one asks at a time, and never while a webhook is set.
    private func updates(_ fields: [String: Any]) async -> FakeAnswer {
        allow(fields, ["offset", "limit", "timeout", "allowed_updates"], "getupdates")
        let limit = Self.number(fields["limit"]) ?? 100
        if !(1...100).contains(limit) { complain("\(Self.page)#getupdates: limit \(limit) is not 1–100") }
        let kinds = fields["allowed_updates"] as? [String]
        if fields["allowed_updates"] != nil, kinds == nil { complain("\(Self.page)#getupdates: allowed_updates is no list of strings") }
        let offset = Self.number(fields["offset"])
        let poll = state.withLock { state -> Int? in
            guard state.webhook == nil else { return nil }
            if let offset { state.updates.removeAll { $0.id < offset } }
            state.poll += 1
            return state.poll
        }
        // Whoever asks later wins.
        wake()
        guard let poll else {
            return refuse(409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first")
        }
        let end = ContinuousClock.now + .seconds(Int(Self.number(fields["timeout"]) ?? 0))
        while true {
            let found = state.withLock { state -> (isOurs: Bool, updates: [[UInt8]], turn: Int) in
                (
                    state.poll == poll, state.updates.filter { $0.id >= offset ?? 0 }.sorted { $0.id < $1.id }.prefix(Int(limit)).map(\.json),
                    state.turn
                )
            }
            guard found.isOurs else { return refuse(409, "Conflict: terminated by other getUpdates request") }
            guard found.updates.isEmpty, .now < end else {
                let list = Array("{\"ok\":true,\"result\":[".utf8) + Array(found.updates.joined(separator: [UInt8(ascii: ",")])) + Array("]}".utf8)
                return .json(200, list)
            }
            await waitForUpdate(after: found.turn, until: end)
        }
    }

    /// Returns when there is something new, somebody else asks, or at `end`.
    private func waitForUpdate(after turn: Int, until end: ContinuousClock.Instant) async {
        let id = UUID()
        let timer = Task { [self] in
            do { try await ContinuousClock().sleep(until: end) } catch { return }
            state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
        }
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                let isOver = state.turn != turn || .now >= end
                if !isOver { state.waiters[id] = continuation }
                return isOver
            }
            if isOver { continuation.resume() }
        }
        timer.cancel()
    }

    /// #setwebhook
    private func setWebhook(_ fields: [String: Any]) -> FakeAnswer {
        allow(
            fields, ["url", "certificate", "ip_address", "max_connections", "allowed_updates", "drop_pending_updates", "secret_token"], "setwebhook")
        guard let url = fields["url"] as? String, !url.isEmpty else { return refuse(400, "Bad Request: url is empty") }
        guard url.hasPrefix("https://") || url.hasPrefix("http://127.0.0.1") else {
            complain("\(Self.page)#setwebhook: the URL is not HTTPS")
            return refuse(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
        }
        let secret = fields["secret_token"] as? String ?? ""
        if !(1...256).contains(secret.utf8.count) || secret.contains(where: { !($0.isASCII && ($0.isLetter || $0.isNumber || "_-".contains($0))) }) {
            complain("\(Self.page)#setwebhook: secret_token is not 1–256 of A-Z, a-z, 0-9, _ and -")
        }
        if let most = Self.number(fields["max_connections"]), !(1...100).contains(most) {
            complain("\(Self.page)#setwebhook: max_connections \(most)")
        }
        state.withLock { $0.webhook = (url, secret) }
        wake()
        return accept(true)
    }

    // MARK: Messages

    /// #sendmessage
    private func send(_ fields: [String: Any]) -> FakeAnswer {
        allow(
            fields,
            [
                "chat_id", "text", "parse_mode", "link_preview_options", "disable_notification", "protect_content", "reply_markup",
                "message_thread_id",
            ],
            "sendmessage")
        guard let chat = Self.number(fields["chat_id"]) else { return refuse(400, "Bad Request: chat_id is empty") }
        if let refusal = refusal(of: fields, "sendmessage") { return refusal }
        if let refusal = place(chat) { return refusal }
        if enforcesLimits, let wait = limit(chat) {
            return refuse(429, "Too Many Requests: retry after \(wait)", ["retry_after": wait])
        }
        let message = state.withLock { state -> Message in
            state.nextMessage += 1
            let (buttons, data) = Self.keyboard(fields)
            let message = Message(id: state.nextMessage, chat: chat, html: fields["text"] as? String ?? "", buttons: buttons, data: data)
            state.messages[chat, default: []].append(message)
            return message
        }
        return accept(describe(message))
    }

    /// #editmessagetext
    private func editText(_ fields: [String: Any]) -> FakeAnswer {
        allow(
            fields, ["chat_id", "message_id", "inline_message_id", "text", "parse_mode", "entities", "link_preview_options", "reply_markup"],
            "editmessagetext")
        if let refusal = refusal(of: fields, "editmessagetext") { return refusal }
        return edit(fields) { message in
            message.html = fields["text"] as? String ?? ""
            (message.buttons, message.data) = Self.keyboard(fields)
        }
    }

    /// #editmessagereplymarkup
    private func editButtons(_ fields: [String: Any]) -> FakeAnswer {
        allow(fields, ["chat_id", "message_id", "inline_message_id", "reply_markup"], "editmessagereplymarkup")
        if let complaint = Self.keyboardComplaint(fields) { complain("\(Self.page)#inlinekeyboardbutton: \(complaint)") }
        return edit(fields) { (message: inout Message) in (message.buttons, message.data) = Self.keyboard(fields) }
    }

    private func edit(_ fields: [String: Any], _ change: (inout Message) -> Void) -> FakeAnswer {
        guard let chat = Self.number(fields["chat_id"]), let id = Self.number(fields["message_id"]) else {
            return refuse(400, "Bad Request: message identifier is not specified")
        }
        if let refusal = place(chat) { return refusal }
        let outcome = state.withLock { state -> (message: Message, isNew: Bool)? in
            guard let index = state.messages[chat, default: []].firstIndex(where: { $0.id == id }), var message = state.messages[chat]?[index] else {
                return nil
            }
            let before = message
            change(&message)
            state.messages[chat]?[index] = message
            return (message, message != before)
        }
        guard let outcome else { return refuse(400, "Bad Request: message to edit not found") }
        guard outcome.isNew else {
            return refuse(
                400,
                "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a current content "
                    + "and reply markup of the message")
        }
        return accept(describe(outcome.message))
    }

    /// #answercallbackquery
    private func answerPress(_ fields: [String: Any]) -> FakeAnswer {
        allow(fields, ["callback_query_id", "text", "show_alert", "url", "cache_time"], "answercallbackquery")
        let text = fields["text"] as? String ?? ""
        if text.count > 200 { complain("\(Self.page)#answercallbackquery: text has \(text.count) characters, more than 200") }
        guard let id = fields["callback_query_id"] as? String, state.withLock({ $0.presses.remove(id) != nil }) else {
            return refuse(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        }
        state.withLock { $0.answered[id] = text }
        return accept(true)
    }

    // MARK: What the documentation allows

    /// nil: the text, its tags and its buttons are in order.
    private func refusal(of fields: [String: Any], _ anchor: String) -> FakeAnswer? {
        let text = fields["text"] as? String ?? ""
        if fields["parse_mode"] as? String == "HTML" {
            guard let plain = FakeTelegramHTML.plain(text) else {
                complain("\(Self.page)#html-style: these entities cannot be parsed")
                return refuse(400, "Bad Request: can't parse entities")
            }
            guard (1...4_096).contains(plain.utf16.count) else {
                complain("\(Self.page)#\(anchor): text has \(plain.utf16.count) characters after entities parsing, not 1–4096")
                return refuse(400, plain.isEmpty ? "Bad Request: message text is empty" : "Bad Request: message is too long")
            }
        } else if !(1...4_096).contains(text.utf16.count) {
            complain("\(Self.page)#\(anchor): text has \(text.utf16.count) characters, not 1–4096")
            return refuse(400, "Bad Request: message text is empty")
        }
        if let complaint = Self.keyboardComplaint(fields) {
            complain("\(Self.page)#inlinekeyboardbutton: \(complaint)")
            return refuse(400, "Bad Request: BUTTON_DATA_INVALID")
        }
        return nil
    }

    private func place(_ chat: Int64) -> FakeAnswer? {
        let (known, isBlocked, moved) = state.withLock { ($0.chats[chat], $0.blocked.contains(chat), $0.migrated[chat]) }
        if let moved { return refuse(400, "Bad Request: group chat was upgraded to a supergroup chat", ["migrate_to_chat_id": moved]) }
        guard let known else { return refuse(400, "Bad Request: chat not found") }
        guard !isBlocked else {
            return refuse(403, known.id < 0 ? "Forbidden: bot was kicked from the group chat" : "Forbidden: bot was blocked by the user")
        }
        return nil
    }

    /// Seconds to wait; core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this: 30 a second, 20 a minute in a group, one a second in
    /// a chat, with short bursts.
    private func limit(_ chat: Int64) -> Int? {
        let time = now()
        return state.withLock { state in
            func count(_ dates: [Date], within span: TimeInterval) -> Int { dates.count { time.timeIntervalSince($0) < span } }
            let here = state.sent[chat, default: []]
            if state.sent.values.reduce(0, { $0 + count($1, within: 1) }) >= 30 { return 1 }
            if chat < 0, count(here, within: 60) >= 20 { return 60 }
            if count(here, within: 1) >= 5 { return 1 }
            state.sent[chat] = here.suffix(40) + [time]
            return nil
        }
    }

    private func allow(_ fields: [String: Any], _ known: Set<String>, _ anchor: String) {
        for field in fields.keys.sorted() where !known.contains(field) { complain("\(Self.page)#\(anchor): there is no parameter \(field)") }
    }

    private static func keyboard(_ fields: [String: Any]) -> (texts: [[String]], data: [String]) {
        let rows = (fields["reply_markup"] as? [String: Any])?["inline_keyboard"] as? [[[String: Any]]] ?? []
        return (rows.map { $0.map { $0["text"] as? String ?? "" } }, rows.joined().map { $0["callback_data"] as? String ?? "" })
    }

    private static func keyboardComplaint(_ fields: [String: Any]) -> String? {
        guard let markup = fields["reply_markup"] else { return nil }
        guard let rows = (markup as? [String: Any])?["inline_keyboard"] as? [[[String: Any]]] else { return "reply_markup is no inline keyboard" }
        for button in rows.joined() {
            if (button["text"] as? String ?? "").isEmpty { return "a button has no text" }
            let data = button["callback_data"] as? String ?? ""
            if !(1...64).contains(data.utf8.count) { return "callback_data has \(data.utf8.count) bytes, not 1–64" }
        }
        return nil
    }

    // MARK: Answers

    private func describe(_ message: Message) -> [String: Any] {
        let chat = state.withLock { $0.chats[message.chat] }
        return [
            "message_id": message.id, "date": Int(now().timeIntervalSince1970), "chat": chat.map(Self.json) ?? ["id": message.chat],
            "text": FakeTelegramHTML.plain(message.html) ?? message.html,
        ]
    }

    func complain(_ text: String) { state.withLock { $0.complaints.append(text) } }

    private func accept(_ result: Any) -> FakeAnswer { .json(200, ["ok": true, "result": result]) }

    private func refuse(_ status: Int, _ description: String, _ parameters: [String: Any]? = nil) -> FakeAnswer {
        var answer: [String: Any] = ["ok": false, "error_code": status, "description": description]
        if let parameters { answer["parameters"] = parameters }
        return .json(status, answer)
    }

    static func number(_ value: Any?) -> Int64? { (value as? NSNumber)?.int64Value }
}
