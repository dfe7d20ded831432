import HTTPTypes

extension HTTPField.Name {
    // Constant names; the fallbacks are never taken because both are valid tokens (RFC 9110 §5.6.2).
    static let idempotencyKey = HTTPField.Name("Idempotency-Key") ?? .date
    static let idempotentReplayed = HTTPField.Name("Idempotent-Replayed") ?? .date
}
