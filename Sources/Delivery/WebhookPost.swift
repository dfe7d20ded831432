import Domain
import Foundation
import OutboundHTTP

/// One attempt: signs, posts, and says what came of it. Nothing of an answer is kept but its status and `Retry-After`.
struct WebhookPost: Sendable {
    /// From name lookup to the last byte.
    static let deadline: Duration = .seconds(20)
    /// Bytes of an answer that are read; the rest is cut off with its connection.
    static let bodyLimit = 16_384

    let http: HTTPClient
    let deadline: Duration
    let now: @Sendable () -> Date

    func send(_ delivery: ClaimedDelivery) async -> DeliveryReport {
        let startedAt = now()
        let begin = ContinuousClock.now
        let ending = await attempt(delivery, at: startedAt)
        return DeliveryReport(delivery, ending, startedAt: startedAt, duration: ContinuousClock.now - begin)
    }

    private func attempt(_ delivery: ClaimedDelivery, at moment: Date) async -> DeliveryReport.Ending {
        do throws(OutboundFailure) {
            var headers = [try OutboundHeader("content-type", "application/json")]
            for header in delivery.headers(at: moment) { headers.append(try OutboundHeader(header.name, header.value)) }
            var request = try OutboundRequest(.post, OutboundURL(delivery.url), headers: headers, body: delivery.body)
            request.deadline = deadline
            request.bodyLimit = Self.bodyLimit
            request.excess = .truncate
            request.redirects = .asResponse
            let response = try await http.send(request)
            let hasChallenge = delivery.challenge.map { response.body.firstRange(of: Array($0.utf8)) != nil } ?? true
            return .answered(status: response.status, wait: response.wait(from: now()), hasChallenge: hasChallenge)
        } catch {
            switch error.code {
            case .canceled, .closed, .overloaded: return .released
            default: return .failed(code: error.shownCode)
            }
        }
    }
}
