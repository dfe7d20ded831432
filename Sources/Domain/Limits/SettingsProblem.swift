/// What is wrong with one field of a sender's or a pool's settings.
package struct SettingsProblem: Sendable, Hashable {
    /// The closed list of what can be wrong.
    package enum Code: String, Sendable, CaseIterable {
        case required
        case invalidValue = "invalid_value"
        case unknownField = "unknown_field"
        case outOfRange = "out_of_range"
        case conflict
        case unsupported
        case tooMany = "too_many"
        case duplicate
        case emptyPool = "empty_pool"
        case unknownPolicy = "unknown_policy"
        case senderNotFound = "sender_not_found"
        case invalidID = "invalid_id"
    }

    /// JSON pointer (RFC 6901) into the request, for example `/limits/per_second`.
    package let pointer: String
    package let code: Code
    package let detail: String

    package init(_ pointer: String, _ code: Code, _ detail: String) {
        self.pointer = pointer
        self.code = code
        self.detail = detail
    }
}

/// Limits that cannot be meant: every problem at once.
package struct InvalidLimits: Error, Sendable, Hashable {
    package let problems: [SettingsProblem]
}
