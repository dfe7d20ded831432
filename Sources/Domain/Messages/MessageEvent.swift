package import Foundation

/// One numbered step in a message's life. Numbers start at 1 and have no gaps; the story never goes backwards.
package struct MessageEvent: Sendable, Identified {
    package typealias ID = TypedID<MessageEvent>
    package static let idPrefix = "evt"

    package enum Kind: String, Sendable, CaseIterable {
        case scheduled, queued
        /// Another sender will send it; nothing has left.
        case rerouted
        case sending
        /// The server refused an attempt; another one follows.
        case retrying
        case sent, delivered, read, failed, expired, canceled, unconfirmed
    }

    package let id: ID
    package let number: Int
    package let kind: Kind
    package let at: Date
    package let failure: MessageFailure?
}

extension MessageEvent {
    /// The first event of every message stands in the message's own row: it has its time and its uuid.
    static func first(of message: Message.ID, isScheduled: Bool, at: Date) -> MessageEvent {
        MessageEvent(id: ID(message.uuid), number: 1, kind: isScheduled ? .scheduled : .queued, at: at, failure: nil)
    }
}

/// `Event.ID` of the contract.
package typealias Event = MessageEvent
