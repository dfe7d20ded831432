import Domain
import Foundation
import Web

/// The body of `POST /v1/messages` with its JSON types checked; `message(_:now:)` checks the meaning.
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
    private let expiresAt: Date?
    private let reference: String?
    private let metadata: [String: String]?

    init(from decoder: any Decoder) throws {
        var fields = try StrictFields(decoder)
        to = fields.required("to")
        type = fields.required("type")
        text = fields.required("text")
        route = fields.optional("route")
        reference = fields.optional("reference")
        metadata = fields.optional("metadata")
        let expiry: String? = fields.optional("expires_at")
        expiresAt = expiry.flatMap(Timestamp.parse)
        if expiry != nil && expiresAt == nil { fields.note("expires_at", "not_a_time", "must be an RFC 3339 time such as 2026-11-21T08:00:00Z") }
        try fields.finish()
    }

    /// Throws `InvalidMessage` naming every value that is not allowed.
    func message(_ caller: Caller, now: Date) throws -> SendMessage {
        try SendMessage(
            to: to, type: type, body: text?.body, previewURL: text?.previewURL ?? false, sender: route?.sender, pool: route?.pool,
            policy: route?.policy, expiresAt: expiresAt, reference: reference, metadata: metadata, defaultCallingCode: caller.callingCode, now: now)
    }

    /// The message if nothing is wrong with it but that its `expires_at` has come too near; nil without an `expires_at`.
    func messageInItsTime(_ caller: Caller, now: Date) throws -> SendMessage? {
        guard let expiresAt, expiresAt < now.addingTimeInterval(SendMessage.lifetimes.lowerBound) else { return nil }
        return try message(caller, now: expiresAt.addingTimeInterval(-SendMessage.lifetimes.lowerBound))
    }
}
