/// Why a valid message was not accepted. Nothing was stored, except for `outcomeUnknown`, where a repeat with the same key finds out.
package struct AcceptFailure: Error, Sendable {
    package enum Code: String, Sendable, CaseIterable {
        /// Same key, other request: 422.
        case idempotencyKeyReused = "idempotency_key_reused"
        /// Same key, first request not finished: 409.
        case idempotencyInProgress = "idempotency_in_progress"
        /// The connection died while committing: 503, safe to retry with the same key.
        case outcomeUnknown = "outcome_unknown"
        /// The database is away: 503, nothing was stored.
        case unavailable
        /// The account is closing or gone: 401.
        case accountClosed = "account_closed"
        /// No sender of the right kind (live or test) exists: 422.
        case noSender = "no_eligible_sender"
        /// The named sender is not there: 422.
        case senderNotFound = "sender_not_found"
        /// The key may not use this sender: 403.
        case senderNotAllowed = "sender_not_allowed"
        /// The named pool is not there: 422.
        case poolNotFound = "pool_not_found"
        /// It was not to wait, and nobody may send now: 409.
        case noSenderAvailable = "no_sender_available"
        /// The account has too many messages that are not settled yet: 429.
        case tooManyPending = "too_many_pending"
    }

    package let code: Code
    package let detail: String

    package init(_ code: Code, _ detail: String) {
        self.code = code
        self.detail = detail
    }

    /// Whether the same request may be sent again after a second.
    package var isRetryable: Bool { code == .outcomeUnknown || code == .unavailable || code == .idempotencyInProgress }
}
