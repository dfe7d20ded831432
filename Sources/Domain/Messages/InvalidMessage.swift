/// Everything that is wrong with a request, each with the place, a stable code and a sentence.
package struct InvalidMessage: Error, Sendable, Equatable {
    package struct Problem: Sendable, Equatable {
        /// JSON pointer (RFC 6901) into the request, for example `/text/body`.
        package let pointer: String
        package let code: Code
        package let detail: String

        package init(_ pointer: String, _ code: Code, _ detail: String) {
            self.pointer = pointer
            self.code = code
            self.detail = detail
        }
    }

    /// The closed list of what can be wrong with a value.
    package enum Code: String, Error, Sendable, CaseIterable {
        case required, invalidNumber = "invalid_number", empty, tooLong = "too_long", unsupported, invalidID = "invalid_id", tooEarly = "too_early"
        case tooLate = "too_late", tooMany = "too_many", invalidValue = "invalid_value", conflict
    }

    package let problems: [Problem]

    package init(_ problems: [Problem]) { self.problems = problems }
}
