import Foundation
package import Primitives

/// A text to send, as the content of an end-to-end encrypted message (protocol.md 14).
package struct TextMessage: Equatable, Sendable {
    package var text: String
    /// A quoted message, mentions, the chat's timer; nil for a plain text.
    package var context: WAContextInfo?
    /// 32 random bytes; official clients add them to every message.
    package var secret: [UInt8]?

    package init(_ text: String, context: WAContextInfo? = nil, secret: [UInt8]? = nil) {
        self.text = text
        self.context = context
        self.secret = secret
    }

    /// With a fresh secret.
    package init(_ text: String, context: WAContextInfo? = nil, random: any RandomSource) {
        self.init(text, context: context, secret: random.bytes(32))
    }

    /// The message for the recipient's devices. A plain text stands in `conversation`, which can carry no context.
    package var message: WAMessage {
        var message = WAMessage()
        if let context {
            message.extendedTextMessage.text = text
            message.extendedTextMessage.contextInfo = context
        } else {
            message.conversation = text
        }
        if let secret { message.messageContextInfo.messageSecret = Data(secret) }
        return message
    }
}

extension WAMessage {
    /// The same message for the sender's own other devices (protocol.md 10.4, P2).
    /// - Parameter recipient: The chat that the stanza goes to, usually a LID.
    package func sent(to recipient: JID) -> WAMessage {
        var wrapper = WAMessage()
        wrapper.deviceSentMessage.destinationJid = recipient.bare.description
        wrapper.deviceSentMessage.message = self
        if hasMessageContextInfo { wrapper.messageContextInfo = messageContextInfo }
        return wrapper
    }

    /// The text of a text message of either form, also inside `sent(to:)`; nil for all other kinds.
    package var text: String? {
        if hasConversation { return conversation }
        if hasExtendedTextMessage { return extendedTextMessage.text }
        if hasDeviceSentMessage, deviceSentMessage.hasMessage { return deviceSentMessage.message.text }
        return nil
    }
}
