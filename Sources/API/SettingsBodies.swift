import Domain
import Foundation
import Web

/// The body of `POST /v1/senders`.
struct CreateSenderBody: Decodable, Sendable {
    var label: String?

    init(from decoder: any Decoder) throws {
        var fields = try StrictFields(decoder)
        label = fields.label()
        try fields.finish()
    }
}

/// The body of `PATCH /v1/senders/{id}`.
struct UpdateSenderBody: Decodable, Sendable {
    var label: String?
    /// All of the sender's limits; nil leaves them as they are.
    var limits: SendingLimits.Shape?

    init(from decoder: any Decoder) throws {
        var fields = try StrictFields(decoder)
        label = fields.label()
        limits = fields.optional("limits")
        try fields.finish()
    }
}

/// The body of `POST /v1/pools`, and of `PATCH /v1/pools/{id}`, where nothing is required.
struct PoolBody: Decodable, Sendable {
    struct Member: Decodable, Sendable {
        var sender: String?
        var weight: Int?
        var prefixes: [String]?

        init(from decoder: any Decoder) throws {
            var fields = try StrictFields(decoder)
            sender = fields.required("sender")
            weight = fields.optional("weight")
            prefixes = fields.optional("prefixes")
            try fields.finish()
        }
    }

    var name: String?
    var policy: String?
    var members: [Member]?
    var limits: SendingLimits.Shape?
    var isDefault: Bool?

    init(from decoder: any Decoder) throws {
        var fields = try StrictFields(decoder)
        name = fields.optional("name")
        policy = fields.optional("policy")
        members = fields.optional("members")
        limits = fields.optional("limits")
        isDefault = fields.optional("is_default")
        try fields.finish()
    }

    private var inputs: [PoolDraft.MemberInput]? {
        members?.map { PoolDraft.MemberInput(sender: $0.sender, weight: $0.weight, prefixes: $0.prefixes) }
    }

    /// - Throws: `InvalidPool` naming every value that is not allowed.
    func draft() throws(InvalidPool) -> PoolDraft { try PoolDraft(name: name, policy: policy, members: inputs, limits: limits) }

    /// No pool stops being the default one: another one starts to be.
    /// - Throws: `InvalidPool`, `Problem`.
    func change() throws -> PoolChange {
        if isDefault == false {
            let detail = "can only be set to true; the other pool then is it no longer"
            throw Problem(
                .invalidRequest, "See errors for the fields to correct.",
                fields: [.init(pointer: "/is_default", code: SettingsProblem.Code.unsupported.rawValue, detail: detail)])
        }
        return try PoolChange(name: name, policy: policy, members: inputs, limits: limits)
    }
}

extension StrictFields {
    /// A name for people, of a sender.
    fileprivate mutating func label() -> String? {
        let label: String? = optional("label")
        if let label, !(1...80).contains(label.unicodeScalars.count) || label.unicodeScalars.contains(where: { $0.value < 0x20 }) {
            note("label", "invalid_value", "has 1 to 80 characters, none of them a control character")
        }
        return label
    }
}
