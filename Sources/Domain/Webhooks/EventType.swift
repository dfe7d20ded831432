/// What an event can be about: a closed list, which `openapi.yaml` is checked against. A message's and a sender's types are their states.
package enum EventType: String, Sendable, CaseIterable {
    /// A scheduled message came due. A message's first event, number 1, is the answer to its POST and is not told again.
    case messageQueued = "message.queued"
    case messageRerouted = "message.rerouted"
    case messageSending = "message.sending"
    case messageRetrying = "message.retrying"
    case messageSent = "message.sent"
    case messageDelivered = "message.delivered"
    case messageRead = "message.read"
    case messageFailed = "message.failed"
    case messageExpired = "message.expired"
    case messageCanceled = "message.canceled"
    case messageUnconfirmed = "message.unconfirmed"

    case senderUnpaired = "sender.unpaired"
    case senderPairing = "sender.pairing"
    case senderConnecting = "sender.connecting"
    case senderReady = "sender.ready"
    case senderDisconnected = "sender.disconnected"
    case senderReplaced = "sender.replaced"
    case senderLoggedOut = "sender.logged_out"
    case senderTemporarilyBanned = "sender.temporarily_banned"
    case senderClientOutdated = "sender.client_outdated"
    case senderParked = "sender.parked"
    case senderRemoving = "sender.removing"
    case senderRemoved = "sender.removed"

    /// An endpoint has failed for an hour, and again for a day.
    case endpointFailing = "webhook_endpoint.failing"
    /// An endpoint was disabled by the gateway.
    case endpointDisabled = "webhook_endpoint.disabled"
    /// Asks an endpoint whether it wants this; sent to that endpoint alone, and no part of the log.
    case endpointVerification = "webhook_endpoint.verification"
    /// Somebody pressed the button; sent to that endpoint alone, and no part of the log.
    case endpointTest = "webhook_endpoint.test"

    /// Whether an endpoint can choose it, and the log has it.
    package var isLogged: Bool { self != .endpointVerification && self != .endpointTest }
    /// Those that an endpoint can choose.
    package static let logged = allCases.filter(\.isLogged)
}
