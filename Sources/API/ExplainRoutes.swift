package import Domain
import Foundation
import Hummingbird
import Web

extension Routes {
    /// `POST /v1/messages/explain`: the decision that `POST /v1/messages` would make of the same body, with every sender's verdict. It writes
    /// nothing and takes no turn.
    func explainMessage(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.send)
        _ = try idempotencyKey(request)
        let body = try await JSONBody.read(SendMessageBody.self, from: request, limit: maximumBody)
        let time = now()
        let message = try body.message(caller, now: time)
        if let lateness = message.lateness { throw lateness }
        let decision = try await gateway.messages.explain(message, caller: caller, now: time)
        switch decision.failure {
        case .senderNotFound: throw AcceptFailure(.senderNotFound, decision.reason)
        case .poolNotFound: throw AcceptFailure(.poolNotFound, decision.reason)
        case .noSender, .senderNotAllowed, .nobodyNow, nil: return JSONResponse.make(ExplanationJSON(decision, caller))
        }
    }
}

/// A decision as callers see it (schema `Explanation` of openapi.yaml).
package struct ExplanationJSON: Encodable {
    struct Considered: Encodable {
        struct Verdict: Encodable {
            var code: String
            var sentence: String
            var wayOut: String

            enum CodingKeys: String, CodingKey {
                case code, sentence
                case wayOut = "way_out"
            }
        }

        var id: String
        var label: String
        var chosen: Bool
        var verdict: Verdict
        var availableAt: Nullable<Date>
        var limitedBy: Nullable<String>

        enum CodingKeys: String, CodingKey {
            case id, label, chosen, verdict
            case availableAt = "available_at"
            case limitedBy = "limited_by"
        }

        init(_ sender: RouteDecision.Considered) {
            id = sender.sender.description
            label = sender.label
            chosen = sender.isChosen
            verdict = Verdict(code: sender.code, sentence: sender.sentence, wayOut: sender.wayOut)
            availableAt = Nullable(sender.availableAt)
            limitedBy = Nullable(sender.limitedBy?.rawValue)
        }
    }

    var sender: Nullable<MessageJSON.Sender>
    var policy: String
    var pool: Nullable<String>
    var reason: String
    var failure: Nullable<String>
    var warm: Bool
    var waiting: Bool
    var availableAt: Nullable<Date>
    var estimatedSendAt: Nullable<Date>
    var limitedBy: Nullable<String>
    var senders: [Considered]

    enum CodingKeys: String, CodingKey {
        case sender, policy, pool, reason, failure, warm, waiting, senders
        case availableAt = "available_at"
        case estimatedSendAt = "estimated_send_at"
        case limitedBy = "limited_by"
    }

    /// A test key is told of test senders only.
    package init(_ decision: RouteDecision, _ caller: Caller) {
        sender = Nullable(decision.sender.map { .init(id: $0.description, label: decision.label) })
        policy = decision.policy.rawValue
        pool = Nullable(decision.pool?.description)
        reason = decision.reason
        failure = Nullable(decision.failure.map(Self.code))
        warm = decision.isWarm
        waiting = decision.isWaiting
        availableAt = Nullable(decision.availableAt)
        estimatedSendAt = Nullable(decision.estimatedSendAt)
        limitedBy = Nullable(decision.limitedBy?.rawValue)
        senders = decision.considered.filter { !(caller.isTest && $0.verdict == .wrongMode) }.map(Considered.init)
    }

    /// What `POST /v1/messages` would be refused with.
    private static func code(of failure: RouteDecision.Failure) -> String {
        let code: AcceptFailure.Code =
            switch failure {
            case .noSender: .noSender
            case .senderNotFound: .senderNotFound
            case .senderNotAllowed: .senderNotAllowed
            case .poolNotFound: .poolNotFound
            case .nobodyNow: .noSenderAvailable
            }
        return code.rawValue
    }
}
