import Domain
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
    var reference: String?
    var metadata: [String: String]?
    var createdAt: Date
    var expiresAt: Date
    var estimatedSendAt: Date?
    var sentAt: Date?
    var deliveredAt: Date?
    var readAt: Date?
    var failure: Failure?

    enum CodingKeys: String, CodingKey {
        case id, status, to, type, test, sender, route, reference, metadata, failure
        case createdAt = "created_at"
        case expiresAt = "expires_at"
        case estimatedSendAt = "estimated_send_at"
        case sentAt = "sent_at"
        case deliveredAt = "delivered_at"
        case readAt = "read_at"
    }

    init(_ message: MessageView) {
        id = message.id.description
        status = message.status.rawValue
        to = message.to.text
        test = message.isTest
        sender = message.sender.map { Sender(id: $0.id.description, label: $0.label) }
        route = Route(policy: message.route.policy.rawValue, reason: message.route.reason, pool: message.route.pool?.description)
        reference = message.reference
        metadata = message.metadata
        createdAt = message.createdAt
        expiresAt = message.expiresAt
        estimatedSendAt = message.status == .queued ? message.createdAt : nil
        sentAt = message.sentAt
        deliveredAt = message.deliveredAt
        readAt = message.readAt
        failure = message.failure.map(Failure.init)
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
