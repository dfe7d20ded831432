import Domain
import Foundation
import Web

/// The body of `POST /v1/messages` with its JSON types checked; `message(_:now:)` checks the meaning. An item of a batch has the same form.
struct SendMessageBody: Decodable, Sendable {
    private struct Text: Decodable {
        var body: String?
        var previewURL: Bool?

        init(from decoder: any Decoder) throws {
            var fields = try StrictFields(decoder)
            body = fields.required("body")
            previewURL = fields.optional("preview_url")
            try fields.finish()
        }
    }

    private struct Route: Decodable {
        var sender: String?
        var pool: String?
        var policy: String?

        init(from decoder: any Decoder) throws {
            var fields = try StrictFields(decoder)
            sender = fields.optional("sender")
            pool = fields.optional("pool")
            policy = fields.optional("policy")
            try fields.finish()
        }
    }

    private let to: String?
    private let type: String?
    private let text: Text?
    private let route: Route?
    private let priority: String?
    private let sendAt: Date?
    private let expiresAt: Date?
    private let timeToLive: Int?
    private let failFast: Bool?
    private let atMostOnce: Bool?
    private let store: String?
    private let reference: String?
    private let metadata: [String: String]?

    init(from decoder: any Decoder) throws {
        var fields = try StrictFields(decoder)
        to = fields.required("to")
        type = fields.required("type")
        text = fields.required("text")
        route = fields.optional("route")
        priority = fields.optional("priority")
        sendAt = fields.time("send_at")
        expiresAt = fields.time("expires_at")
        timeToLive = fields.optional("ttl")
        failFast = fields.optional("fail_fast")
        atMostOnce = fields.optional("at_most_once")
        store = fields.optional("store")
        reference = fields.optional("reference")
        metadata = fields.optional("metadata")
        try fields.finish()
    }

    /// Throws `InvalidMessage` naming every value that is not allowed.
    func message(_ caller: Caller, now: Date) throws(InvalidMessage) -> SendMessage {
        try SendMessage(
            to: to, type: type, body: text?.body, previewURL: text?.previewURL ?? false, sender: route?.sender, pool: route?.pool,
            policy: route?.policy, priority: priority, sendAt: sendAt, expiresAt: expiresAt, ttl: timeToLive, failFast: failFast ?? false,
            atMostOnce: atMostOnce ?? false, store: store, reference: reference, metadata: metadata, defaultCallingCode: caller.callingCode, now: now)
    }
}

extension StrictFields {
    /// A member that is an RFC 3339 time.
    mutating func time(_ name: String) -> Date? {
        guard let text: String = optional(name) else { return nil }
        let time = Timestamp.parse(text)
        if time == nil { note(name, "not_a_time", "must be an RFC 3339 time such as 2026-11-21T08:00:00Z") }
        return time
    }
}
