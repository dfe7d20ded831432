import Domain
import Foundation
import Web

/// The body of `POST /v1/webhook-endpoints`, and of `PATCH /v1/webhook-endpoints/{id}`, where nothing is required.
struct WebhookEndpointBody: Decodable, Sendable {
    var url: String?
    var description: String?
    var events: [String]?
    var includesRecipient: Bool?
    /// For a new one.
    var signing: WebhookSecret.Signing?
    var test: Bool?
    /// For a change.
    var isEnabled: Bool?

    /// A wish for all types, those of later versions too.
    static let all = "*"

    init(from decoder: any Decoder) throws {
        var fields = try StrictFields(decoder)
        url = fields.optional("url")
        description = fields.optional("description")
        events = fields.optional("events")
        includesRecipient = fields.optional("include_recipient")
        if let name: String = fields.optional("signing") {
            signing = WebhookSecret.Signing(rawValue: name)
            if signing == nil { fields.note("signing", "invalid_value", "is symmetric or ed25519") }
        }
        test = fields.optional("test")
        isEnabled = fields.optional("enabled")
        try fields.finish()
    }

    var fields: EndpointFields {
        EndpointFields(
            url: url, description: description, types: events.map { $0 == [Self.all] ? .all : .only($0) }, includesRecipient: includesRecipient)
    }

    /// Throws 422 for members that belong to the other request.
    func refuse(_ members: [(name: String, isThere: Bool)]) throws {
        let problems = members.filter(\.isThere).map {
            Problem.Field(pointer: "/\($0.name)", code: "unsupported", detail: "cannot be given here")
        }
        if !problems.isEmpty { throw Problem(.invalidRequest, "See errors for the fields to correct.", fields: problems) }
    }
}

/// The body of `POST /v1/webhook-endpoints/{id}/rotate-secret`; there may be none.
struct RotateSecretBody: Decodable, Sendable {
    var overlap: Int?

    init(from decoder: any Decoder) throws {
        var fields = try StrictFields(decoder)
        overlap = fields.optional("overlap_seconds")
        if let overlap, !(0...Int(Webhooks.longestOverlap)).contains(overlap) { fields.note("overlap_seconds", "out_of_range", "is from 0 to 86400") }
        try fields.finish()
    }
}

/// The body of `POST /v1/events/replay`: ids, or a range of time.
struct ReplayBody: Decodable, Sendable {
    var selection: EventLog.Selection?
    var types: [EventType]?
    var endpoint: WebhookEndpoint.ID?

    init(from decoder: any Decoder) throws {
        var fields = try StrictFields(decoder)
        let ids: [String]? = fields.optional("events")
        let from = Self.time("from", &fields)
        let before = Self.time("before", &fields)
        let after: Event.ID? = Self.id("after", &fields)
        endpoint = Self.id("endpoint", &fields)
        if let names: [String] = fields.optional("types") {
            types = names.compactMap(EventType.init)
            if types?.count != names.count || names.isEmpty { fields.note("types", "invalid_value", "names types of events") }
        }
        if let ids {
            if from != nil || before != nil || after != nil { fields.note("events", "conflict", "are named one by one or by time, not both") }
            if !(1...EventLog.idLimit).contains(ids.count) { fields.note("events", "too_many", "are 1 to 1,000") }
            do { selection = .ids(try ids.prefix(EventLog.idLimit).map { try Event.ID($0) }) } catch {
                fields.note("events", "invalid_id", "names something that is no id of an event")
            }
        } else if let from, let before {
            if from >= before { fields.note("before", "conflict", "is not later than from") }
            selection = .range(from: from, before: before, after: after)
        } else if fields.problems.isEmpty {
            fields.note("events", "required", "are named one by one, or by from and before")
        }
        try fields.finish()
    }

    private static func time(_ name: String, _ fields: inout StrictFields) -> Date? {
        guard let text: String = fields.optional(name) else { return nil }
        let time = Timestamp.parse(text)
        if time == nil { fields.note(name, "not_a_time", "is a time such as 2026-11-21T12:00:00Z") }
        return time
    }

    private static func id<Subject: Identified>(_ name: String, _ fields: inout StrictFields) -> TypedID<Subject>? {
        guard let text: String = fields.optional(name) else { return nil }
        do { return try TypedID<Subject>(text) } catch {
            fields.note(name, "invalid_id", "is no such id")
            return nil
        }
    }
}
