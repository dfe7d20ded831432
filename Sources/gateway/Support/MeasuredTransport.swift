import Domain
import Foundation
import Logging
import Synchronization

/// A transport that measures another one: how long messages waited before they left, and how long their answers took. Its log lines, at level
/// debug, carry the message's id.
struct MeasuredTransport: Transport {
    let transport: any Transport
    let measurements: Measurements
    let receipts: ReceiptSample
    /// After it an answer is none.
    let patience: Duration
    let now: @Sendable () -> Date
    let logger: Logger

    private final class Departure: Sendable {
        let moment = Mutex<ContinuousClock.Instant?>(nil)
    }

    func send(_ message: ClaimedMessage, left: @escaping @Sendable () -> Void) async {
        logger.debug("message dispatched", metadata: fields(message))
        let departure = Departure()
        measurements.runningSends.increment()
        defer { measurements.runningSends.decrement() }
        await transport.send(message) {
            let isFirst = departure.moment.withLock { moment in
                defer { moment = moment ?? .now }
                return moment == nil
            }
            if isFirst { self.noteDeparture(of: message) }
            left()
        }
        guard let moment = departure.moment.withLock({ $0 }) else { return }
        let took = moment.duration(to: .now)
        if took < patience {
            measurements.acknowledged(after: took, isTest: message.isTest)
        } else {
            measurements.unanswered(isTest: message.isTest)
        }
        logger.debug("message answered", metadata: fields(message).merging(["duration_ms": "\(took.milliseconds)"]) { $1 })
    }

    func readySenders() -> AsyncStream<[OwnedSender]> { transport.readySenders() }

    /// Only the first time: a resend says nothing about how long the queue was.
    private func noteDeparture(of message: ClaimedMessage) {
        guard message.attempt == 0 else { return }
        let delay = now().timeIntervalSince(max(message.createdAt, message.dispatch.dueAt))
        measurements.wireDelay(.seconds(max(0, delay)), isTest: message.isTest)
        receipts.follow(message)
    }

    private func fields(_ message: ClaimedMessage) -> Logger.Metadata {
        ["message.id": "\(message.id)", "sender.id": "\(message.sender)", "attempt": "\(message.attempt)"]
    }
}
