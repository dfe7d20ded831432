import Domain
import Foundation

/// A webhook endpoint as callers see it (schema `WebhookEndpoint` of openapi.yaml).
struct WebhookEndpointJSON: Encodable {
    var id: String
    var url: String
    var description: String
    var events: [String]
    var includesRecipient: Bool
    var signing: String
    var publicKey: Nullable<String>
    var status: String
    var disabledReason: Nullable<String>
    var test: Bool
    var failingSince: Nullable<Date>
    var previousUntil: Nullable<Date>
    var createdAt: Date
    /// In the answers that make one; null when it was shown before, with `code` saying so.
    var secret: Nullable<String>?
    var code: String?

    enum CodingKeys: String, CodingKey {
        case id, url, description, events, signing, status, test, secret, code
        case includesRecipient = "include_recipient"
        case publicKey = "public_key"
        case disabledReason = "disabled_reason"
        case failingSince = "failing_since"
        case previousUntil = "previous_secret_until"
        case createdAt = "created_at"
    }

    init(_ endpoint: WebhookEndpoint) {
        id = endpoint.id.description
        url = endpoint.url
        description = endpoint.description
        events = endpoint.types?.map(\.rawValue) ?? [WebhookEndpointBody.all]
        includesRecipient = endpoint.includesRecipient
        signing = endpoint.signing.rawValue
        publicKey = Nullable(endpoint.publicKey)
        status = endpoint.state.rawValue
        disabledReason = Nullable(endpoint.disabledReason?.rawValue)
        test = endpoint.isTest
        failingSince = Nullable(endpoint.failingSince)
        previousUntil = Nullable(endpoint.previousUntil)
        createdAt = endpoint.createdAt
    }

    /// With its secret, this once; an Ed25519 endpoint has none to show.
    init(_ made: Webhooks.Made) {
        self.init(made.endpoint)
        guard made.endpoint.signing == .symmetric else { return }
        secret = Nullable(made.secret)
        if made.replayed { code = "secret_already_shown" }
    }
}

/// One event on its way to one endpoint (schema `WebhookDelivery` of openapi.yaml).
struct WebhookDeliveryJSON: Encodable {
    struct Attempt: Encodable {
        var number: Int
        var at: Date
        var duration: Int
        var status: Nullable<Int>
        var code: Nullable<String>

        enum CodingKeys: String, CodingKey {
            case number, at, status, code
            case duration = "duration_ms"
        }
    }

    var event: String
    var type: String
    var status: String
    var code: Nullable<String>
    var nextAttemptAt: Nullable<Date>
    var createdAt: Date
    var finishedAt: Nullable<Date>
    var attempts: [Attempt]

    enum CodingKeys: String, CodingKey {
        case event, type, status, code, attempts
        case nextAttemptAt = "next_attempt_at"
        case createdAt = "created_at"
        case finishedAt = "finished_at"
    }

    init(_ delivery: WebhookDelivery) {
        event = delivery.event.description
        type = delivery.type
        status = delivery.state.rawValue
        code = Nullable(delivery.code)
        nextAttemptAt = Nullable(delivery.nextAt)
        createdAt = delivery.createdAt
        finishedAt = Nullable(delivery.finishedAt)
        attempts = delivery.attempts.map {
            Attempt(number: $0.number, at: $0.at, duration: $0.duration, status: Nullable($0.status), code: Nullable($0.code))
        }
    }
}

/// Schema `QueuedEvent` of openapi.yaml.
struct QueuedEventJSON: Encodable {
    var event: String
}

/// Schema `Replay` of openapi.yaml.
struct ReplayJSON: Encodable {
    var queued: Int
    var hasMore: Bool
    var after: Nullable<String>

    enum CodingKeys: String, CodingKey {
        case queued, after
        case hasMore = "has_more"
    }

    init(_ replay: EventLog.Replay) {
        queued = replay.queued
        hasMore = replay.next != nil
        after = Nullable(replay.next?.description)
    }
}

/// A page of the event log (schema `WebhookEventList` of openapi.yaml); there is always somewhere to go on.
struct PulledEventsJSON: Encodable {
    var data: [EventPayload]
    var hasMore: Bool
    var nextCursor: String

    enum CodingKeys: String, CodingKey {
        case data
        case hasMore = "has_more"
        case nextCursor = "next_cursor"
    }
}
