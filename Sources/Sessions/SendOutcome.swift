package import Domain
import Foundation
import Primitives
package import WhatsApp

/// What a failed send means for its message (design §13.5): refused for good, refused until later, unknown, or nothing to record.
package enum SendOutcome: Equatable {
    /// It was not delivered. `retryAfter` nil is final.
    case refused(MessageFailure.Code, serverCode: Int?, retryAfter: Duration?)
    /// This sender may not write to this recipient now: another one, else the same once more after the delay.
    case notAllowed(serverCode: Int, retryAfter: Duration)
    /// This sender may not begin a chat with this recipient, ever: another one or none. It begins no other new chat for a time either.
    case newChatRefused(serverCode: Int)
    /// The sender is too fast: it pauses, and the message is due again when the pause is over.
    case tooFast(serverCode: Int)
    /// Its bytes may have arrived; the same id is due again after the delay.
    case unknown(retryAfter: Duration)
    /// Nothing left, and somebody else decides: the claim's deadline gives it back.
    case leaveToSweep

    /// - Parameter isResend: the message's bytes may have left before. Then nothing that happens to the second copy proves that the first was
    ///   not delivered, not even the server's refusal.
    /// - Parameter refusals: how often the server has refused it before; each doubles the wait for a server in trouble.
    package init(_ failure: SendFailure, isResend: Bool, refusals: Int = 0) {
        if Sabotage.silenceIsRefusal.isOn, failure.onWire {
            self = .refused(.undeliverable, serverCode: nil, retryAfter: nil)
            return
        }
        if isResend {
            self = .unknown(retryAfter: failure.onWire ? .seconds(1) : .seconds(3))
            return
        }
        switch failure.code {
        case .notReady: self = .refused(.senderUnavailable, serverCode: nil, retryAfter: .seconds(1))
        case .disconnected:
            self = failure.onWire ? .unknown(retryAfter: .seconds(1)) : .refused(.senderUnavailable, serverCode: nil, retryAfter: .seconds(1))
        case .ackTimeout: self = .unknown(retryAfter: .seconds(1))
        case .canceled, .preWireFailed, .storeFailed: self = failure.onWire ? .unknown(retryAfter: .seconds(1)) : .leaveToSweep
        case .notOnWhatsApp: self = .refused(.notOnWhatsApp, serverCode: nil, retryAfter: nil)
        case .noLID: self = .refused(.undeliverable, serverCode: nil, retryAfter: nil)
        case .noDevices: self = .refused(.noDevices, serverCode: nil, retryAfter: nil)
        case .noSession: self = .refused(.undeliverable, serverCode: nil, retryAfter: .seconds(30))
        case .encodeFailed: self = .refused(.encodeFailed, serverCode: nil, retryAfter: nil)
        case .resolveFailed(429): self = .tooFast(serverCode: 429)
        case .resolveFailed(let code): self = .refused(.serverUnavailable, serverCode: code == 0 ? nil : code, retryAfter: .seconds(15))
        case .refused(let code): self = Self.refusal(code, refusals)
        }
    }

    /// The server's own code on an ack (protocol.md 10.8). The client has already rebuilt the stanza once for 479 and 400.
    private static func refusal(_ code: Int, _ refusals: Int) -> SendOutcome {
        switch code {
        case 403: .notAllowed(serverCode: code, retryAfter: .seconds(3_600))
        case 429: .tooFast(serverCode: code)
        case 463: .newChatRefused(serverCode: code)
        case 400, 479: .refused(.undeliverable, serverCode: code, retryAfter: nil)
        case 500...599: .refused(.serverUnavailable, serverCode: code, retryAfter: .seconds(15 << min(max(0, refusals), 6)))
        default: .refused(.refused, serverCode: code, retryAfter: nil)
        }
    }
}

extension SendOutcome {
    /// What the outbox records; nil: it was not refused.
    /// - Parameter preWires: how many of them this claim had committed; a row that shows more is on the wire through somebody else.
    func refusal(of message: ClaimedMessage, preWires: Int, at now: Date) -> Refused? {
        func refused(
            _ failure: MessageFailure.Code, _ code: Int?, _ course: Refused.Course, _ health: Health.Finding? = nil
        ) -> Refused {
            Refused(
                message: message.id, owner: message.owner, attempts: message.attempt + preWires, failure: failure, serverCode: code, course: course,
                health: health)
        }
        func later(_ delay: Duration) -> Date { now.addingTimeInterval(delay / .seconds(1)) }
        return switch self {
        case .refused(let failure, let code, let delay): refused(failure, code, delay.map { .retry(at: later($0)) } ?? .end)
        case .notAllowed(let code, let delay): refused(.notAllowed, code, .once(at: later(delay)))
        case .newChatRefused(let code): refused(.newChatLimit, code, .elsewhere, .newChatRefused(until: nil))
        case .tooFast(let code): refused(.rateLimited, code, .retry(at: now), .rateLimited)
        case .unknown, .leaveToSweep: nil
        }
    }
}

extension Acknowledged {
    init(_ message: ClaimedMessage, _ acknowledgement: Acknowledgement) {
        let timings = acknowledgement.timings
        self.init(
            message: message.id, owner: message.owner, wireID: message.wireID, serverTime: acknowledgement.time,
            timings: AttemptTimings(resolve: timings.resolve, encrypt: timings.encrypt, commit: timings.commit))
    }
}
