package import Foundation

/// Where a sender stands, all things taken together: its connection and what holds it back. What the API shows and what alerts speak of;
/// each has a code, a sentence and a way out.
package struct SenderCondition: Sendable, Hashable {
    package enum Code: String, Sendable, CaseIterable {
        case ready
        case connecting
        /// Sends to people it knows, starts no new chats.
        case cooling
        case rateLimited = "rate_limited"
        case disconnected
        case parked
        case loggedOut = "logged_out"
        case replaced
        case temporarilyBanned = "temporarily_banned"
        case clientOutdated = "client_outdated"
        case unpaired
        case pairing
        case removing
    }

    /// How long a sender that has just left `ready` counts as waiting: a short break moves nobody.
    package static let damping: TimeInterval = 5
    /// A demotion and its end are at least this far apart.
    package static let demotionRest: TimeInterval = 60

    package let code: Code
    /// When it ends by itself, if that is known.
    package let until: Date?
    /// Others go first until then, because receipts fail to come.
    package let demotedUntil: Date?

    package init(_ state: SenderState, _ health: SenderHealth, now: Date) {
        let pause = health.pausedUntil > now ? health.pausedUntil : nil
        let newChats = health.newChatsUntil > now ? health.newChatsUntil : nil
        (code, until) =
            switch state {
            case .ready where pause != nil: (.rateLimited, pause)
            case .ready where newChats != nil: (.cooling, newChats)
            case .ready: (.ready, nil)
            case .connecting: (.connecting, nil)
            case .disconnected: (.disconnected, nil)
            case .parked: (.parked, nil)
            case .loggedOut: (.loggedOut, nil)
            case .replaced: (.replaced, nil)
            case .temporarilyBanned: (.temporarilyBanned, pause)
            case .clientOutdated: (.clientOutdated, nil)
            case .unpaired: (.unpaired, nil)
            case .pairing: (.pairing, nil)
            case .removing, .removed: (.removing, nil)
            }
        demotedUntil = health.demotedUntil > now ? health.demotedUntil : nil
    }

    package var sentence: String {
        switch code {
        case .cooling: "Connected; WhatsApp lets it write to people it knows, but start no new chats at the moment."
        case .rateLimited: "Connected, but WhatsApp asked it to slow down; it pauses."
        case .ready where demotedUntil != nil: "Connected, but few receipts come back; other senders go first."
        case .ready: SenderState.ready.sentence
        case .connecting: SenderState.connecting.sentence
        case .disconnected: SenderState.disconnected.sentence
        case .parked: SenderState.parked.sentence
        case .loggedOut: SenderState.loggedOut.sentence
        case .replaced: SenderState.replaced.sentence
        case .temporarilyBanned: SenderState.temporarilyBanned.sentence
        case .clientOutdated: SenderState.clientOutdated.sentence
        case .unpaired: SenderState.unpaired.sentence
        case .pairing: SenderState.pairing.sentence
        case .removing: SenderState.removing.sentence
        }
    }

    package var wayOut: String {
        switch code {
        case .cooling: "Wait; it ends by itself. New recipients go to other senders of the pool."
        case .rateLimited: "Wait; it ends by itself. Lower its limits, or spread the messages over more senders."
        case .ready: SenderState.ready.wayOut
        case .connecting: SenderState.connecting.wayOut
        case .disconnected: SenderState.disconnected.wayOut
        case .parked: SenderState.parked.wayOut
        case .loggedOut: SenderState.loggedOut.wayOut
        case .replaced: SenderState.replaced.wayOut
        case .temporarilyBanned: SenderState.temporarilyBanned.wayOut
        case .clientOutdated: SenderState.clientOutdated.wayOut
        case .unpaired: SenderState.unpaired.wayOut
        case .pairing: SenderState.pairing.wayOut
        case .removing: SenderState.removing.wayOut
        }
    }
}
