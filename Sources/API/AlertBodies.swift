import Domain
import Foundation
import Web

/// The settings of a channel: the body of `PATCH /v1/alerts/channels/{id}`, and beside type and address that of `POST /v1/alerts/channels`.
struct ChannelBody: Decodable, Sendable {
    struct Hours: Decodable, Sendable {
        var from: String?
        var to: String?

        init(from decoder: any Decoder) throws {
            var fields = try StrictFields(decoder)
            from = fields.required("from")
            to = fields.required("to")
            try fields.finish()
        }
    }

    var fields = ChannelFields()
    /// For a new one.
    var type: String?
    var address: EmailAddress?

    init(from decoder: any Decoder) throws { try self.init(from: decoder, isNew: false) }

    fileprivate init(from decoder: any Decoder, isNew: Bool) throws {
        var members = try StrictFields(decoder)
        let nulls = try Nulls(decoder)
        if isNew {
            type = members.required("type")
            let text: String? = members.required("address")
            if let type, type != AlertChannel.Kind.email.rawValue {
                members.note("type", "unsupported", "is email; a Telegram chat is linked with POST /v1/alerts/telegram-link")
            }
            address = text.flatMap(EmailAddress.init)
            if text != nil, address == nil { members.note("address", "invalid_value", "is no e-mail address") }
        }
        fields.language = members.optional("language")
        fields.minimumSeverity = members.optional("minimum_severity")
        let kinds: [String]? = members.optional("kinds")
        fields.kinds = nulls.change("kinds", kinds)
        let hours: Hours? = members.optional("quiet_hours")
        fields.quietHours = nulls.change(
            "quiet_hours", hours.flatMap { hours in hours.from.flatMap { from in hours.to.map { (from: from, to: $0) } } })
        fields.zone = members.optional("time_zone")
        let hour: Int? = members.optional("digest_hour")
        fields.digestHour = nulls.change("digest_hour", hour)
        fields.selfTest = members.optional("self_test")
        fields.isEscalationOnly = members.optional("escalation_only")
        try members.finish()
    }
}

/// The body of `POST /v1/alerts/channels`.
struct NewChannelBody: Decodable, Sendable {
    let channel: ChannelBody

    init(from decoder: any Decoder) throws { channel = try ChannelBody(from: decoder, isNew: true) }
}

/// The body of `PATCH /v1/alerts/rules/{kind}`.
struct AlertRuleBody: Decodable, Sendable {
    var fields = AlertRuleFields()

    init(from decoder: any Decoder) throws {
        var members = try StrictFields(decoder)
        let nulls = try Nulls(decoder)
        fields.isEnabled = members.optional("enabled")
        fields.severity = members.optional("severity")
        fields.openAfter = members.optional("open_after")
        fields.clearAfter = members.optional("clear_after")
        fields.share = members.optional("share")
        fields.minimum = members.optional("minimum")
        fields.age = members.optional("age")
        let escalation: Int? = members.optional("escalate_after")
        fields.escalateAfter = nulls.isNull("escalate_after") ? .never : escalation.map { .after($0) }
        try members.finish()
    }
}

/// The body of requests that ask for silence: of an alert, or of a channel.
struct SilenceBody: Decodable, Sendable {
    /// 30 days.
    static let longest = 2_592_000

    /// 0: from now on it may be heard again.
    var seconds = 0

    init(from decoder: any Decoder) throws {
        var members = try StrictFields(decoder)
        if let seconds: Int = members.required("seconds") {
            if !(0...Self.longest).contains(seconds) { members.note("seconds", "out_of_range", "is from 0, which ends it, to \(Self.longest)") }
            self.seconds = seconds
        }
        try members.finish()
    }

    func end(_ now: Date) -> Date? { seconds == 0 ? nil : now.addingTimeInterval(TimeInterval(seconds)) }
}

/// Tells members that are null from those that are absent, where null takes a setting away.
private struct Nulls {
    private let container: KeyedDecodingContainer<StrictFields.AnyKey>

    init(_ decoder: any Decoder) throws { container = try decoder.container(keyedBy: StrictFields.AnyKey.self) }

    func isNull(_ name: String) -> Bool {
        let key = StrictFields.AnyKey(stringValue: name)
        // What cannot be read is not null; whoever reads it says what is wrong.
        return container.contains(key) && (try? container.decodeNil(forKey: key)) == true
    }

    func change<Value: Sendable>(_ name: String, _ value: Value?) -> ChannelFields.Change<Value>? {
        isNull(name) ? .off : value.map { .to($0) }
    }
}
