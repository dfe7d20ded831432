package import HTTPTypes

/// Every reason for which the API refuses, as a closed list: `openapi.yaml` and the pages under `Docs/errors` are checked against it.
package enum ProblemCode: String, CaseIterable, Sendable {
    case invalidJSON = "invalid_json"
    case invalidRequest = "invalid_request"
    case tooManyItems = "too_many_items"
    case requestTimeout = "request_timeout"
    case bodyTooLarge = "body_too_large"
    case unsupportedMediaType = "unsupported_media_type"
    case missingKey = "missing_key"
    case malformedKey = "malformed_key"
    case invalidKey = "invalid_key"
    case missingScope = "missing_scope"
    case liveKeyRequired = "live_key_required"
    case notFound = "not_found"
    case methodNotAllowed = "method_not_allowed"
    case invalidIdempotencyKey = "invalid_idempotency_key"
    case idempotencyKeyReused = "idempotency_key_reused"
    case idempotencyInProgress = "idempotency_in_progress"
    case noEligibleSender = "no_eligible_sender"
    case senderNotAllowed = "sender_not_allowed"
    case noSenderAvailable = "no_sender_available"
    case messageNotCancelable = "message_not_cancelable"
    case senderNotResumable = "sender_not_resumable"
    case defaultPool = "default_pool"
    case webhookEndpointDisabled = "webhook_endpoint_disabled"
    case invalidAlertRule = "invalid_alert_rule"
    case telegramNotConfigured = "telegram_not_configured"
    case emailNotConfigured = "email_not_configured"
    case tooManyChannels = "too_many_channels"
    case tooManyLinks = "too_many_links"
    case channelExists = "channel_exists"
    case channelNotActive = "channel_not_active"
    case linkNotTaken = "link_not_taken"
    case alreadyPaired = "already_paired"
    case confirmationMismatch = "confirmation_mismatch"
    case tooManyRequests = "too_many_requests"
    case overloaded = "overloaded"
    case databaseUnavailable = "database_unavailable"
    case internalError = "internal_error"

    package var status: HTTPResponse.Status {
        switch self {
        case .invalidJSON, .invalidIdempotencyKey: .badRequest
        case .missingKey, .malformedKey, .invalidKey: .unauthorized
        case .missingScope, .liveKeyRequired, .senderNotAllowed: .forbidden
        case .notFound: .notFound
        case .methodNotAllowed: .methodNotAllowed
        case .requestTimeout: .requestTimeout
        case .idempotencyInProgress, .noSenderAvailable, .messageNotCancelable, .senderNotResumable, .defaultPool, .alreadyPaired,
            .webhookEndpointDisabled, .telegramNotConfigured, .emailNotConfigured, .tooManyChannels, .tooManyLinks, .channelExists, .channelNotActive,
            .linkNotTaken:
            .conflict
        case .bodyTooLarge: .contentTooLarge
        case .unsupportedMediaType: .unsupportedMediaType
        case .invalidRequest, .tooManyItems, .idempotencyKeyReused, .noEligibleSender, .confirmationMismatch, .invalidAlertRule:
            .unprocessableContent
        case .tooManyRequests: .tooManyRequests
        case .overloaded, .databaseUnavailable: .serviceUnavailable
        case .internalError: .internalServerError
        }
    }

    package var title: String {
        switch self {
        case .invalidJSON: "The body is not JSON"
        case .invalidRequest: "The request is not valid"
        case .tooManyItems: "The batch has too many items"
        case .requestTimeout: "The request did not arrive in time"
        case .bodyTooLarge: "The body is too large"
        case .unsupportedMediaType: "The body must be JSON"
        case .missingKey: "No API key"
        case .malformedKey: "The API key is damaged"
        case .invalidKey: "The API key is not valid"
        case .missingScope: "The API key may not do this"
        case .liveKeyRequired: "A test key may not do this"
        case .notFound: "Not found"
        case .methodNotAllowed: "The method is not allowed here"
        case .invalidIdempotencyKey: "The idempotency key is not valid"
        case .idempotencyKeyReused: "The idempotency key was used with another body"
        case .idempotencyInProgress: "The first request with this idempotency key is still running"
        case .noEligibleSender: "No sender may send this"
        case .senderNotAllowed: "The API key may not use this sender"
        case .noSenderAvailable: "No sender may send this now"
        case .messageNotCancelable: "The message cannot be canceled any more"
        case .senderNotResumable: "The sender cannot be resumed"
        case .defaultPool: "The default pool cannot be deleted"
        case .webhookEndpointDisabled: "The webhook endpoint is not enabled"
        case .invalidAlertRule: "The alert rule cannot be meant"
        case .telegramNotConfigured: "This gateway has no Telegram bot"
        case .emailNotConfigured: "This gateway sends no e-mail"
        case .tooManyChannels: "The account has as many channels as it may"
        case .tooManyLinks: "Too many links are waiting"
        case .channelExists: "The account has a channel with this address"
        case .channelNotActive: "The channel is not active"
        case .linkNotTaken: "No chat has used this link yet"
        case .alreadyPaired: "The sender is already paired"
        case .confirmationMismatch: "The confirmation does not match"
        case .tooManyRequests: "Too many requests"
        case .overloaded: "The gateway is overloaded"
        case .databaseUnavailable: "The database is not available"
        case .internalError: "Something went wrong in the gateway"
        }
    }
}
