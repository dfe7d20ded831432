package import OutboundHTTP

/// Why Resend did not take an e-mail. Its sentences are not kept: they repeat addresses. (resend.com/docs/api-reference/errors)
package enum ResendFailure: Error, Hashable, Sendable {
    /// 429: the same request, with the same key, no earlier than this.
    case limited(retryAfter: Duration)
    /// 429 of the other kind: the day's or the month's number of e-mails is used up.
    case quotaExceeded
    /// 409: a request with this key is being worked on.
    case concurrent
    /// 409: this key was used with another text, so that something was sent under it.
    case keyUsed
    /// 401 or 403: the key is none, or may not do this.
    case unauthorized
    /// 400, 403 or 422: this e-mail will never be taken, such as one from a domain that is not verified.
    case refused(status: Int)
    case notFound
    case server(status: Int)
    case network(OutboundFailure)
    /// A success without an id.
    case unreadable(status: Int)

    /// Stable; for logs, metrics and the list of attempts.
    package var code: String {
        switch self {
        case .limited: "rate_limited"
        case .quotaExceeded: "quota_exceeded"
        case .concurrent: "concurrent_request"
        case .keyUsed: "key_used"
        case .unauthorized: "unauthorized"
        case .refused: "refused"
        case .notFound: "not_found"
        case .server: "server_error"
        case .network(let failure): failure.code.rawValue
        case .unreadable: "unreadable_answer"
        }
    }
}

extension ResendFailure {
    /// - Parameter name: the error's name in Resend's answer; empty: there was none.
    init(status: Int, name: String, retryAfter: Duration?) {
        switch (status, name) {
        case (429, "daily_quota_exceeded"), (429, "monthly_quota_exceeded"): self = .quotaExceeded
        case (429, _): self = .limited(retryAfter: max(.seconds(1), retryAfter ?? .seconds(1)))
        case (409, "invalid_idempotent_request"): self = .keyUsed
        case (409, _): self = .concurrent
        case (401, _), (403, "invalid_api_key"), (403, "restricted_api_key"): self = .unauthorized
        case (404, _): self = .notFound
        case (400...499, _): self = .refused(status: status)
        case (500..., _): self = .server(status: status)
        default: self = .unreadable(status: status)
        }
    }
}
