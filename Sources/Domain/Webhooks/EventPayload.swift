package import Foundation

/// An event as programs get it: the body of a webhook, and one element of `GET /v1/events`, byte for byte alike apart from the recipient's number.
/// Schema `WebhookEvent` of openapi.yaml. Ids, states, codes and times, and what the client itself gave a message to be known by; never its body.
package struct EventPayload: Encodable, Sendable {
    package struct Failure: Encodable, Sendable {
        var code: String
        var `class`: String
        var retryable: Bool
        var advice: String
    }

    package struct Body: Encodable, Sendable {
        var message: String?
        var sequence: Int?
        var status: String?
        var sender: String?
        var endpoint: String?
        var code: String?
        var challenge: String?
        var test: Bool
        var to: String?
        var reference: String?
        var metadata: [String: String]?
        var failure: Failure?
    }

    package var id: String
    package var type: String
    /// When it happened, RFC 3339 UTC with milliseconds.
    package var timestamp: String
    package var data: Body

    /// The JSON text.
    package func bytes() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        return Array(try encoder.encode(self))
    }
}

/// A row of the log, and of the message it is about.
struct EventRecord: Sendable {
    var id: Event.ID
    var type: String
    var at: Date
    var isTest: Bool
    var message: Message.ID?
    var number: Int?
    var sender: Sender.ID?
    var endpoint: WebhookEndpoint.ID?
    var code: String?
    var reference: String?
    var metadata: [String: String]?
    var recipient: E164?

    private static let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)

    var payload: EventPayload {
        let kind = EventType(rawValue: type)
        let failure = message == nil ? nil : code.flatMap(MessageFailure.Code.init).map { MessageFailure($0) }
        let challenge = kind == .endpointVerification ? id.description : nil
        // To the millisecond before it is written, since the style cuts off.
        let moment = Date(timeIntervalSince1970: (at.timeIntervalSince1970 * 1000).rounded() / 1000 + 0.000_1)
        return EventPayload(
            id: id.description, type: type, timestamp: moment.formatted(Self.style),
            data: EventPayload.Body(
                message: message?.description, sequence: number,
                status: kind?.isLogged == true ? type.split(separator: ".").last.map(String.init) : nil, sender: sender?.description,
                endpoint: endpoint?.description, code: message == nil ? code : nil, challenge: challenge, test: isTest, to: recipient?.text,
                reference: reference, metadata: metadata,
                failure: failure.map {
                    EventPayload.Failure(code: $0.code.rawValue, class: $0.failureClass.rawValue, retryable: $0.isRetryable, advice: $0.advice)
                }))
    }
}
