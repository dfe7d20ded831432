package import Domain
import Foundation

/// A message as callers see it (schema `Message` of openapi.yaml).
struct MessageJSON: Encodable {
    struct Sender: Encodable {
        var id: String
        var label: String
    }

    struct Route: Encodable {
        var policy: String
        var reason: String
        var pool: String?
    }

    struct Failure: Encodable {
        var code: String
        var `class`: String
        var retryable: Bool
        var advice: String

        init(_ failure: MessageFailure) {
            code = failure.code.rawValue
            `class` = failure.failureClass.rawValue
            retryable = failure.isRetryable
            advice = failure.advice
        }
    }

    var id: String
    var status: String
    var to: String?
    var type = "text"
    var test: Bool
    var sender: Sender?
    var route: Route
    var priority: String
    var store: String
    var reference: String?
    var metadata: [String: String]?
    var createdAt: Date
    var sendAt: Date?
    var expiresAt: Date
    var estimatedSendAt: Date?
    var limitedBy: Nullable<String>
    var moves: Int
    var sentAt: Date?
    var deliveredAt: Date?
    var readAt: Date?
    var failure: Failure?
    var attempts: [AttemptJSON]?

    enum CodingKeys: String, CodingKey {
        case id, status, to, type, test, sender, route, priority, store, reference, metadata, moves, failure, attempts
        case createdAt = "created_at"
        case sendAt = "send_at"
        case expiresAt = "expires_at"
        case estimatedSendAt = "estimated_send_at"
        case limitedBy = "limited_by"
        case sentAt = "sent_at"
        case deliveredAt = "delivered_at"
        case readAt = "read_at"
    }

    init(_ message: MessageView, attempts: [MessageAttempt]? = nil) {
        let isWaiting = message.status == .scheduled || message.status == .queued
        id = message.id.description
        status = message.status.rawValue
        to = message.to.text
        test = message.isTest
        sender = message.sender.map { Sender(id: $0.id.description, label: $0.label) }
        route = Route(policy: message.route.policy.rawValue, reason: message.route.reason, pool: message.route.pool?.description)
        priority = message.priority.rawValue
        store = message.store.rawValue
        reference = message.reference
        metadata = message.metadata
        createdAt = message.createdAt
        sendAt = message.sendAt
        expiresAt = message.expiresAt
        estimatedSendAt = isWaiting ? message.estimatedSendAt : nil
        limitedBy = Nullable(isWaiting ? message.limitedBy?.rawValue : nil)
        moves = message.moves
        sentAt = message.sentAt
        deliveredAt = message.deliveredAt
        readAt = message.readAt
        failure = message.failure.map(Failure.init)
        self.attempts = attempts?.map(AttemptJSON.init)
    }
}

/// One time that the message's bytes may have left (schema `Attempt` of openapi.yaml).
package struct AttemptJSON: Encodable {
    var number: Int
    var sender: String
    var outcome: String
    var serverCode: Int?
    var wireAt: Date
    var queue: Int?
    var resolve: Int?
    var encrypt: Int?
    var commit: Int?
    var acknowledgement: Int?
    var receipt: Int?

    enum CodingKeys: String, CodingKey {
        case number, sender, outcome
        case serverCode = "server_code"
        case wireAt = "wire_at"
        case queue = "queue_ms"
        case resolve = "resolve_ms"
        case encrypt = "encrypt_ms"
        case commit = "commit_ms"
        case acknowledgement = "ack_ms"
        case receipt = "receipt_ms"
    }

    package init(_ attempt: MessageAttempt) {
        number = attempt.number
        sender = attempt.sender.description
        outcome = attempt.outcome.rawValue
        serverCode = attempt.serverCode
        wireAt = attempt.wireAt
        queue = attempt.queue
        resolve = attempt.resolve
        encrypt = attempt.encrypt
        commit = attempt.commit
        acknowledgement = attempt.acknowledgement
        receipt = attempt.receipt
    }
}

/// A member that is written as null when there is nothing to say.
struct Nullable<Value: Encodable>: Encodable {
    var value: Value?

    init(_ value: Value?) { self.value = value }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }
}

/// One numbered event of a message.
struct EventJSON: Encodable {
    var sequence: Int
    var status: String
    var at: Date
    var failure: MessageJSON.Failure?

    init(_ event: MessageEvent) {
        sequence = event.number
        status = event.kind.rawValue
        at = event.at
        failure = event.failure.map(MessageJSON.Failure.init)
    }
}

struct EventListJSON: Encodable {
    var data: [EventJSON]
}

/// A page of a list.
struct ListJSON<Element: Encodable>: Encodable {
    var data: [Element]
    var hasMore: Bool
    var nextCursor: String?

    enum CodingKeys: String, CodingKey {
        case data
        case hasMore = "has_more"
        case nextCursor = "next_cursor"
    }

    init(_ data: [Element], next: String?) {
        self.data = data
        hasMore = next != nil
        nextCursor = next
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(data, forKey: .data)
        try container.encode(hasMore, forKey: .hasMore)
        try container.encode(nextCursor, forKey: .nextCursor)
    }
}
