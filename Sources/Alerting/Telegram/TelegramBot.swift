package import Foundation
package import OutboundHTTP

/// Telegram's Bot API as we use it: JSON by POST, one method a request. Every answer is read, none is trusted.
///
///     let bot = TelegramBot(token: token, endpoint: endpoint, http: http)
///     let name = try await bot.me().username
///     let message = try await bot.send(TelegramMessage(chat: 12, html: "…"))
///     for update in try await bot.updates(offset: next, wait: .seconds(25)) { … }
///
/// It neither waits nor repeats: how fast and how often is `TelegramPace` and the caller's business.
package struct TelegramBot: Sendable {
    /// A hundred messages of the longest kind, with what Telegram adds to each.
    private static let updatesLimit = 16 << 20

    private let token: TelegramToken
    /// The bot's own id, which is no secret.
    package var id: Int64 { token.botID }
    private let endpoint: AlertEndpoint
    private let http: HTTPClient
    private let deadline: Duration

    /// - Parameter deadline: for whatever is answered at once; a poll has it on top of its wait.
    package init(token: TelegramToken, endpoint: AlertEndpoint, http: HTTPClient, deadline: Duration = .seconds(20)) {
        self.deadline = deadline
        self.token = token
        self.endpoint = endpoint
        self.http = http
    }

    /// The bot itself. (core.telegram.org/bots/api#getme)
    package func me() async throws(TelegramFailure) -> TelegramUpdate.User { try await call("getMe", Empty()) }

    /// Writes to a chat. (core.telegram.org/bots/api#sendmessage)
    /// - Returns: the message's id in its chat.
    package func send(_ message: TelegramMessage) async throws(TelegramFailure) -> Int64 {
        let sent: Sent = try await call("sendMessage", message, isOnce: true)
        return sent.id
    }

    /// (core.telegram.org/bots/api#editmessagetext)
    package func edit(_ id: Int64, _ message: TelegramMessage) async throws(TelegramFailure) {
        let _: Anything = try await call("editMessageText", Edit(messageID: id, message: message))
    }

    /// Puts other buttons under a message; none: takes them off. (core.telegram.org/bots/api#editmessagereplymarkup)
    package func edit(_ id: Int64, in chat: Int64, buttons: [[TelegramMessage.Button]]) async throws(TelegramFailure) {
        let _: Anything = try await call(
            "editMessageReplyMarkup", Buttons(chatID: chat, messageID: id, replyMarkup: TelegramMessage.Keyboard(inlineKeyboard: buttons)))
    }

    /// Ends the clock that a pressed button shows. (core.telegram.org/bots/api#answercallbackquery)
    /// - Parameter text: shown for a moment; cut to 200 characters.
    package func answer(_ press: String, text: String) async throws(TelegramFailure) {
        let _: Anything = try await call("answerCallbackQuery", Answer(callbackQueryID: press, text: String(text.prefix(200))))
    }

    /// Asks what happened, and lets Telegram wait with its answer for as long as nothing does. (core.telegram.org/bots/api#getupdates)
    /// - Parameter offset: one more than the last update that was dealt with: Telegram forgets everything before it. 0: the oldest that it has.
    /// - Returns: those that could be read, oldest first.
    package func updates(offset: Int64, wait: Duration, limit: Int = 100) async throws(TelegramFailure) -> [TelegramUpdate] {
        let question = Question(
            offset: offset, limit: limit, timeout: Int(wait.components.seconds), allowedUpdates: TelegramUpdate.kinds)
        let drafts: [Lossy<TelegramUpdate.Draft>] = try await call(
            "getUpdates", question, wait: wait, bodyLimit: Self.updatesLimit)
        return drafts.compactMap(\.value).map { TelegramUpdate($0) }.sorted { $0.id < $1.id }
    }

    /// From now on Telegram posts updates to this URL, with the secret in `X-Telegram-Bot-Api-Secret-Token`. (core.telegram.org/bots/api#setwebhook)
    package func setWebhook(url: String, secret: String) async throws(TelegramFailure) {
        let _: Anything = try await call(
            "setWebhook", Webhook(url: url, secretToken: secret, allowedUpdates: TelegramUpdate.kinds, maxConnections: 10))
    }

    /// Updates are asked for again. (core.telegram.org/bots/api#deletewebhook)
    package func deleteWebhook() async throws(TelegramFailure) { let _: Anything = try await call("deleteWebhook", Empty()) }

    // MARK: One call

    private func call<Result: Decodable>(
        _ method: String, _ body: some Encodable, wait: Duration = .zero, bodyLimit: Int? = nil, isOnce: Bool = false
    ) async throws(TelegramFailure) -> Result {
        let response: OutboundResponse
        do throws(OutboundFailure) {
            let url = try endpoint.url("/bot\(token.text)/\(method)")
            var request = try OutboundRequest(.post, url, headers: [OutboundHeader("content-type", "application/json")], body: Self.json(body))
            request.deadline = wait + deadline
            request.bodyLimit = bodyLimit
            request.ownConnection = isOnce
            response = try await http.send(request)
        } catch {
            throw .network(error)
        }
        guard let reply = try? JSONDecoder().decode(Reply<Result>.self, from: Data(response.body)) else {
            // Something in between may answer in Telegram's place.
            throw response.isSuccess
                ? .unreadable(status: response.status)
                : TelegramFailure(
                    status: response.status, description: "", retryAfter: response.retryAfter.map { Int($0.components.seconds) }, migratedTo: nil)
        }
        guard reply.ok, let result = reply.result else {
            throw TelegramFailure(
                status: reply.ok ? response.status : reply.code ?? response.status, description: reply.description ?? "",
                retryAfter: reply.parameters?.retryAfter, migratedTo: reply.parameters?.migratedTo)
        }
        return result
    }

    private static func json(_ body: some Encodable) throws(OutboundFailure) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do { return Array(try encoder.encode(body)) } catch {
            throw OutboundFailure(.invalidRequest, "a request could not be written as JSON", isTransient: false)
        }
    }
}

// MARK: What goes over the wire

private struct Empty: Encodable {}

/// A result that nobody reads.
private struct Anything: Decodable { init(from decoder: any Decoder) throws {} }

private struct Sent: Decodable {
    let id: Int64
    enum CodingKeys: String, CodingKey { case id = "message_id" }
}

/// nil: of another shape.
private struct Lossy<Value: Decodable>: Decodable {
    let value: Value?
    init(from decoder: any Decoder) throws { value = try? Value(from: decoder) }
}

/// (core.telegram.org/bots/api#making-requests)
private struct Reply<Result: Decodable>: Decodable {
    struct Parameters: Decodable {
        let retryAfter: Int?
        let migratedTo: Int64?
        enum CodingKeys: String, CodingKey {
            case retryAfter = "retry_after"
            case migratedTo = "migrate_to_chat_id"
        }
    }

    let ok: Bool
    let result: Result?
    let code: Int?
    let description: String?
    let parameters: Parameters?

    enum CodingKeys: String, CodingKey {
        case ok, result, description, parameters
        case code = "error_code"
    }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        ok = try fields.decode(Bool.self, forKey: .ok)
        result = ok ? try fields.decodeIfPresent(Result.self, forKey: .result) : nil
        code = try? fields.decodeIfPresent(Int.self, forKey: .code)
        description = try? fields.decodeIfPresent(String.self, forKey: .description)
        parameters = try? fields.decodeIfPresent(Parameters.self, forKey: .parameters)
    }
}

private struct Question: Encodable {
    let offset: Int64
    let limit: Int
    let timeout: Int
    let allowedUpdates: [String]
    enum CodingKeys: String, CodingKey {
        case offset, limit, timeout
        case allowedUpdates = "allowed_updates"
    }
}

private struct Edit: Encodable {
    let messageID: Int64
    let message: TelegramMessage

    enum CodingKeys: String, CodingKey { case messageID = "message_id" }

    func encode(to encoder: any Encoder) throws {
        try message.encode(to: encoder)
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encode(messageID, forKey: .messageID)
    }
}

private struct Buttons: Encodable {
    let chatID: Int64
    let messageID: Int64
    let replyMarkup: TelegramMessage.Keyboard
    enum CodingKeys: String, CodingKey {
        case chatID = "chat_id"
        case messageID = "message_id"
        case replyMarkup = "reply_markup"
    }
}

private struct Answer: Encodable {
    let callbackQueryID: String
    let text: String
    enum CodingKeys: String, CodingKey {
        case text
        case callbackQueryID = "callback_query_id"
    }
}

private struct Webhook: Encodable {
    let url: String
    let secretToken: String
    let allowedUpdates: [String]
    let maxConnections: Int
    enum CodingKeys: String, CodingKey {
        case url
        case secretToken = "secret_token"
        case allowedUpdates = "allowed_updates"
        case maxConnections = "max_connections"
    }
}
