package import Foundation
import Secrets

extension Messages {
    /// The decision that accepting this message now would make, with what was thought of every sender. Writes nothing and takes no turn.
    package func explain(_ message: SendMessage, caller: Caller, now: Date) async throws -> RouteDecision {
        let draft = MessageDraft(message, caller, nil, try await keys.sealer(for: caller.account))
        return try await routing.explain(message.route, for: draft.routed, caller: caller, now: now)
    }
}
