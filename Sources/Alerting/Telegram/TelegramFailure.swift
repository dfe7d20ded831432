package import OutboundHTTP

/// Why Telegram did not do what it was asked. Nothing of what Telegram says stands in it: its sentences are for people, and change.
package enum TelegramFailure: Error, Hashable, Sendable {
    /// Too many requests: the same one no earlier than this. (core.telegram.org/bots/api#responseparameters)
    case flood(retryAfter: Duration)
    /// 403: the person blocked the bot, or it was taken out of the group.
    case blocked
    case chatNotFound
    /// The group has another id now.
    case migrated(to: Int64)
    /// 409: somebody else asks for updates with this token, or a webhook is set.
    case conflict
    /// 401 or 404: the token is none.
    case unauthorized
    /// The message has what it should have already.
    case notModified
    /// The message or the query is not there any more.
    case gone
    /// Another 4xx: asking again does not help.
    case badRequest(status: Int)
    case server(status: Int)
    case network(OutboundFailure)
    /// An answer that is none.
    case unreadable(status: Int)

    /// Stable; for logs, metrics and the list of attempts.
    package var code: String {
        switch self {
        case .flood: "flood"
        case .blocked: "blocked"
        case .chatNotFound: "chat_not_found"
        case .migrated: "migrated"
        case .conflict: "conflict"
        case .unauthorized: "unauthorized"
        case .notModified: "not_modified"
        case .gone: "gone"
        case .badRequest: "bad_request"
        case .server: "server_error"
        case .network(let failure): failure.code.rawValue
        case .unreadable: "unreadable_answer"
        }
    }
}

extension TelegramFailure {
    /// - Parameters:
    ///   - status: of HTTP; Telegram repeats it as `error_code`.
    ///   - description: Telegram's sentence. Only these few beginnings are looked at, as every bot must: there is no other code for them.
    init(status: Int, description: String, retryAfter: Int?, migratedTo: Int64?) {
        let text = description.lowercased()
        if let migratedTo {
            self = .migrated(to: migratedTo)
        } else if status == 429 {
            self = .flood(retryAfter: .seconds(min(max(1, retryAfter ?? 5), 86_400)))
        } else if status == 403 {
            self = .blocked
        } else if status == 401 || status == 404 {
            self = .unauthorized
        } else if status == 409 {
            self = .conflict
        } else if text.contains("chat not found") || text.contains("user is deactivated") || text.contains("group chat was deactivated") {
            self = .chatNotFound
        } else if text.contains("message is not modified") {
            self = .notModified
        } else if text.contains("message to edit not found") || text.contains("message can't be edited") || text.contains("query is too old") {
            self = .gone
        } else if (400...499).contains(status) {
            self = .badRequest(status: status)
        } else if status >= 500 {
            self = .server(status: status)
        } else {
            self = .unreadable(status: status)
        }
    }
}
