import Domain
import Foundation

/// One thing that was looked at, and how it is. The detail is for operators: names, counts and times, never an id, a number or a secret.
struct HealthCheck: Sendable, Equatable, Encodable {
    enum Result: String, Sendable, Encodable {
        case ok
        /// Somebody should look at it in the next days.
        case warning
        /// It does not work.
        case failed
        /// It could not be looked at because something else failed, or was not asked for.
        case skipped
    }

    /// Stable.
    var check: String
    var result: Result
    var detail: String
    /// What to do about it; empty when all is well.
    var advice = ""

    static func ok(_ check: String, _ detail: String) -> HealthCheck { HealthCheck(check: check, result: .ok, detail: detail) }
    static func warning(_ check: String, _ detail: String, _ advice: String) -> HealthCheck {
        HealthCheck(check: check, result: .warning, detail: detail, advice: advice)
    }
    static func failed(_ check: String, _ detail: String, _ advice: String) -> HealthCheck {
        HealthCheck(check: check, result: .failed, detail: detail, advice: advice)
    }
    static func skipped(_ check: String, _ detail: String) -> HealthCheck { HealthCheck(check: check, result: .skipped, detail: detail) }
}

extension HealthCheck {
    /// What the figures say about queue, hourly job, contact cache, partitions, senders, protocol and webhooks.
    static func checks(of figures: Operations.Figures, now: Date) -> [HealthCheck] {
        [queue(figures), cron(figures, now), contacts(figures), partitions(figures), senders(figures), protocolVersion(figures), webhooks(figures)]
    }

    private static let quarterHour: TimeInterval = 900
    /// The job runs every hour; a second one that is missing is a mistake.
    private static let cronLimit: TimeInterval = 7_500
    private static let contactLimit: TimeInterval = 7_500
    private static let partitionLimit: TimeInterval = 2 * 86_400

    private static func queue(_ figures: Operations.Figures) -> HealthCheck {
        let waiting = figures.queue["accepted"] ?? 0
        guard let oldest = figures.oldestQueued, oldest >= quarterHour else {
            return .ok("queue", "\(waiting) messages wait, the oldest due one for \(span(figures.oldestQueued ?? 0))")
        }
        return .warning(
            "queue", "the oldest due message waits for \(span(oldest)); \(waiting) wait in all",
            "see whether its sender is connected (gateway sender list) and what limits it (gateway route explain)")
    }

    private static func cron(_ figures: Operations.Figures, _ now: Date) -> HealthCheck {
        if !figures.cronFailures.isEmpty {
            return .failed(
                "hourly job", "the last run failed: \(figures.cronFailures.sorted().joined(separator: ", "))",
                "see the log of the node that ran it, then run: gateway cron hourly")
        }
        guard let oldest = figures.cronSuccesses.min(by: { $0.value < $1.value }) else {
            let isNew = figures.accounts.isEmpty
            return isNew
                ? .ok("hourly job", "it has not run yet, and there is nothing to do for it")
                : .failed("hourly job", "it has not succeeded in 7 days", "run a node with the role cron, or the timer (Scripts/deploy)")
        }
        let age = now.timeIntervalSince(oldest.value)
        guard age < cronLimit else {
            return .failed(
                "hourly job", "\(oldest.key) last succeeded \(span(age)) ago",
                "run a node with the role cron, or the timer; at once: gateway cron hourly")
        }
        return .ok("hourly job", "\(figures.cronSuccesses.count) tasks, the oldest success \(span(max(0, age))) ago")
    }

    private static func contacts(_ figures: Operations.Figures) -> HealthCheck {
        guard let oldest = figures.oldestContact, oldest >= contactLimit else {
            return .ok("contact cache", "\(figures.contacts) rows, the oldest \(span(max(0, figures.oldestContact ?? 0))) old")
        }
        return .failed("contact cache", "its oldest row is \(span(oldest)) old; it must be emptied every hour", "run: gateway cron hourly")
    }

    private static func partitions(_ figures: Operations.Figures) -> HealthCheck {
        guard let least = figures.partitionsAhead.min(by: { $0.value < $1.value }) else {
            return figures.accounts.isEmpty
                ? .ok("partitions", "none are needed yet") : .failed("partitions", "there are none", "run: gateway cron hourly")
        }
        guard least.value >= partitionLimit else {
            return .failed("partitions", "\(least.key) has partitions for \(span(max(0, least.value))) ahead only", "run: gateway cron hourly")
        }
        return .ok("partitions", "at least \(span(least.value)) ahead")
    }

    private static func senders(_ figures: Operations.Figures) -> HealthCheck {
        let states = figures.liveSenders.filter { $0.key != SenderState.removed.rawValue }
        let all = states.values.reduce(0, +)
        let ready = states[SenderState.ready.rawValue] ?? 0
        let needy: [SenderState] = [.replaced, .loggedOut, .temporarilyBanned, .parked]
        let troubled = needy.filter { (states[$0.rawValue] ?? 0) > 0 }
        guard troubled.isEmpty else {
            let list = troubled.map { "\(states[$0.rawValue] ?? 0) \($0.rawValue)" }.joined(separator: ", ")
            return .warning("senders", "\(ready) of \(all) are ready; \(list)", "gateway sender list says what each one needs")
        }
        return .ok("senders", "\(ready) of \(all) are ready")
    }

    private static func protocolVersion(_ figures: Operations.Figures) -> HealthCheck {
        let outdated = figures.liveSenders[SenderState.clientOutdated.rawValue] ?? 0
        guard outdated == 0 else {
            return .failed(
                "client version", "WhatsApp refuses it for \(outdated) senders",
                "update the gateway, or set whatsapp.client_version to the version that WhatsApp Web shows now")
        }
        return .ok("client version", "no sender was refused for it")
    }

    private static func webhooks(_ figures: Operations.Figures) -> HealthCheck {
        let oldest = figures.oldestWebhook ?? 0
        guard oldest < quarterHour else {
            return .warning(
                "webhooks", "the oldest due delivery waits for \(span(oldest)); \(figures.webhooksPending) are not done",
                "an endpoint may be slow or away: GET /v1/webhook-endpoints/{id}/deliveries tells which")
        }
        guard figures.webhooksDead == 0 else {
            return .warning(
                "webhooks", "\(figures.webhooksDead) deliveries were given up in the last 24 h",
                "when the endpoint is well again: POST /v1/events/replay")
        }
        return .ok("webhooks", "\(figures.webhooksPending) deliveries are not done")
    }

    /// Seconds for people: two units at most.
    static func span(_ seconds: TimeInterval) -> String {
        let whole = Int(min(max(0, seconds), 1e9))
        return switch whole {
        case ..<120: "\(whole) s"
        case ..<7_200: "\(whole / 60) min"
        case ..<172_800: "\(whole / 3_600) h \(whole % 3_600 / 60) min"
        default: "\(whole / 86_400) d \(whole % 86_400 / 3_600) h"
        }
    }
}
