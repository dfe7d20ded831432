import Domain
import Foundation
import WhatsApp

/// What a failed send means for its message (design §13.5): refused for good, refused until later, unknown, or nothing to record.
enum SendOutcome: Equatable {
    /// It was not delivered. `retryAt` nil is final.
    case refused(MessageFailure.Code, serverCode: Int?, retryAfter: Duration?)
    /// Its bytes may have arrived; the same id is due again after the delay.
    case unknown(retryAfter: Duration)
    /// Nothing left, and somebody else decides: the claim's deadline gives it back.
    case leaveToSweep

    /// - Parameter isResend: the message's bytes may have left before. Then nothing that happens to the second copy proves that the first was
    ///   not delivered, not even the server's refusal.
    init(_ failure: SendFailure, isResend: Bool) {
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
        case .resolveFailed(429): self = .refused(.rateLimited, serverCode: 429, retryAfter: .seconds(120))
        case .resolveFailed(let code): self = .refused(.serverUnavailable, serverCode: code == 0 ? nil : code, retryAfter: .seconds(15))
        case .refused(let code): self = Self.refusal(code)
        }
    }

    /// The server's own code on an ack (protocol.md 10.8). The client has already rebuilt the stanza once for 479 and 400.
    private static func refusal(_ code: Int) -> SendOutcome {
        switch code {
        case 403: .refused(.notAllowed, serverCode: code, retryAfter: .seconds(3_600))
        case 429: .refused(.rateLimited, serverCode: code, retryAfter: .seconds(120))
        case 463: .refused(.newChatLimit, serverCode: code, retryAfter: nil)
        case 400, 479: .refused(.undeliverable, serverCode: code, retryAfter: nil)
        case 500...599: .refused(.serverUnavailable, serverCode: code, retryAfter: .seconds(15))
        default: .refused(.refused, serverCode: code, retryAfter: nil)
        }
    }
}
