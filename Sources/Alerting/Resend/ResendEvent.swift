package import Foundation
import Primitives

/// What Resend posts to a webhook about an e-mail, once its signature is found to be right. (resend.com/docs/dashboard/webhooks/event-types)
package struct ResendEvent: Sendable, Hashable {
    /// `email.bounced`, `email.complained` …
    package let type: String
    /// The id that sending gave.
    package let email: String

    /// Whether the address takes no more e-mail from us.
    package var isEnd: Bool { type == "email.bounced" || type == "email.complained" || type == "email.suppressed" }

    /// How far the sender's clock may be from ours.
    private static let tolerance: TimeInterval = 300

    /// Reads a request after its signature: HMAC-SHA256 over id, time and body, joined by dots; several signatures, while a secret changes.
    /// (resend.com/docs/dashboard/webhooks/verify-webhooks-requests)
    /// - Parameters:
    ///   - header: a header of the request by its name in lower case.
    ///   - secret: `whsec_` and base64.
    /// - Returns: nil: it is not Resend's, too old, or none that we know.
    package init?(body: [UInt8], header: (String) -> String?, secret: String, now: Date) {
        guard let id = header("svix-id"), let time = header("svix-timestamp"), let signatures = header("svix-signature"),
            let seconds = TimeInterval(time), abs(now.timeIntervalSince1970 - seconds) <= Self.tolerance,
            let key = Data(base64Encoded: String(secret.trimmingPrefix("whsec_"))), !key.isEmpty
        else { return nil }
        let expected = HMAC256.authenticate(Array("\(id).\(time).".utf8) + body, key: Array(key))
        let isRight = signatures.split(separator: " ").contains { signature in
            guard signature.hasPrefix("v1,"), let given = Data(base64Encoded: String(signature.dropFirst(3))) else { return false }
            return constantTimeEqual(Array(given), expected)
        }
        guard isRight, let event = try? JSONDecoder().decode(Draft.self, from: Data(body)) else { return nil }
        type = event.type
        email = event.data.id
    }

    private struct Draft: Decodable {
        struct Email: Decodable {
            let id: String
            enum CodingKeys: String, CodingKey { case id = "email_id" }
        }

        let type: String
        let data: Email
    }
}
