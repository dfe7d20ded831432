/// Why a message failed, or is unconfirmed: a closed list, each with its class and an advice.
package struct MessageFailure: Sendable, Equatable {
    package enum Class: String, Sendable, CaseIterable { case permanent, temporary, technical }

    package enum Code: String, Sendable, CaseIterable {
        case notOnWhatsApp = "not_on_whatsapp"
        case noDevices = "no_devices"
        case refused
        case notAllowed = "not_allowed"
        case newChatLimit = "new_chat_limit"
        case rateLimited = "rate_limited"
        case serverUnavailable = "server_unavailable"
        case undeliverable
        case poison
        case senderRemoved = "sender_removed"
        case senderUnavailable = "sender_unavailable"
        /// It was to fail rather than wait, and nobody was able to send when it came due.
        case noSenderAvailable = "no_sender_available"
        case noAcknowledgement = "no_acknowledgement"
        case encodeFailed = "encode_failed"
        case technical
    }

    package let code: Code

    package init(_ code: Code) { self.code = code }

    package var failureClass: Class {
        switch code {
        case .notOnWhatsApp, .noDevices, .refused, .notAllowed, .undeliverable: .permanent
        case .newChatLimit, .rateLimited, .serverUnavailable, .senderRemoved, .senderUnavailable, .noSenderAvailable, .noAcknowledgement:
            .temporary
        case .poison, .encodeFailed, .technical: .technical
        }
    }

    /// Whether the same request, sent anew, may succeed without double delivery.
    package var isRetryable: Bool { failureClass == .temporary && code != .noAcknowledgement }

    package var advice: String {
        switch code {
        case .notOnWhatsApp: "The number has no WhatsApp account; use another channel."
        case .noDevices: "The recipient has no device that can receive; try later or use another channel."
        case .refused: "WhatsApp refused this message; sending it again will not help."
        case .notAllowed: "WhatsApp does not let this sender write to this recipient."
        case .newChatLimit: "This sender may not start new chats now; use another sender or wait."
        case .rateLimited: "The sender is sending too fast; try again later."
        case .serverUnavailable: "WhatsApp was not available; try again later."
        case .undeliverable: "The recipient's devices could not be addressed, even after a refresh."
        case .poison: "The message broke its sender's connection repeatedly; report it to the operator."
        case .senderRemoved: "The chosen sender was removed; send again over another one."
        case .noSenderAvailable: "Nobody was able to send at once, as fail_fast asked; send again, or without fail_fast."
        case .senderUnavailable: "No sender was able to send in time; check the senders."
        case .noAcknowledgement: "It may or may not have arrived; ask the recipient before sending again."
        case .encodeFailed, .technical: "The gateway could not process it; report it to the operator."
        }
    }
}
