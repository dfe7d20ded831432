package import Domain
package import Foundation

/// A sender as callers see it (schema `Sender` of openapi.yaml).
package struct SenderJSON: Encodable {
    struct State: Encodable {
        var code: String
        var detail: String
        var wayOut: String

        enum CodingKeys: String, CodingKey {
            case code, detail
            case wayOut = "way_out"
        }
    }

    struct Condition: Encodable {
        var code: String
        var sentence: String
        var wayOut: String
        var until: Nullable<Date>
        var demotedUntil: Nullable<Date>

        enum CodingKeys: String, CodingKey {
            case code, sentence, until
            case wayOut = "way_out"
            case demotedUntil = "demoted_until"
        }

        init(_ condition: SenderCondition) {
            code = condition.code.rawValue
            sentence = condition.sentence
            wayOut = condition.wayOut
            until = Nullable(condition.until)
            demotedUntil = Nullable(condition.demotedUntil)
        }
    }

    var id: String
    var label: String
    var number: String?
    var test: Bool
    var state: State
    var condition: Condition
    var limits: SendingLimits.Shape
    var usage: UsageJSON?
    var createdAt: Date
    var pairedAt: Date?

    enum CodingKeys: String, CodingKey {
        case id, label, number, test, state, condition, limits, usage
        case createdAt = "created_at"
        case pairedAt = "paired_at"
    }

    /// `state` overrides the sender's own, for an answer about a change that was just made.
    package init(_ sender: Sender, usage: UsageJSON? = nil, state changed: SenderState? = nil, now: Date) {
        let current = changed ?? sender.state
        id = sender.id.description
        label = sender.label
        number = sender.number?.text
        test = sender.isTest
        state = State(code: current.rawValue, detail: current.sentence, wayOut: current.wayOut)
        condition = Condition(SenderCondition(current, sender.health, now: now))
        limits = sender.limits.shape
        self.usage = usage
        createdAt = sender.createdAt
        pairedAt = sender.pairedAt
    }
}

/// What a sender has sent in its running windows beside what it may (schema `Usage` of openapi.yaml).
package struct UsageJSON: Encodable {
    struct Count: Encodable {
        var used: Int
        var limit: Nullable<Int>
    }

    var perSecond: Count
    var perMinute: Count
    var perHour: Count
    var perDay: Count
    var newRecipientsPerDay: Count
    var nextAt: Date?

    enum CodingKeys: String, CodingKey {
        case perSecond = "per_second"
        case perMinute = "per_minute"
        case perHour = "per_hour"
        case perDay = "per_day"
        case newRecipientsPerDay = "new_recipients_per_day"
        case nextAt = "next_at"
    }

    package init(_ candidate: RoutingSnapshot.Candidate, now: Date) {
        func count(_ window: LimitWindow) -> Count {
            Count(used: candidate.usage.used(in: window, at: now), limit: Nullable(candidate.limits.cap(of: window)))
        }
        perSecond = count(.second)
        perMinute = count(.minute)
        perHour = count(.hour)
        perDay = count(.day)
        newRecipientsPerDay = Count(used: candidate.usage.newRecipients(at: now), limit: Nullable(Self.newRecipients(candidate, now)))
        nextAt = candidate.usage.nextAt > now ? candidate.usage.nextAt : nil
    }

    /// How many people today, the warm-up included.
    private static func newRecipients(_ candidate: RoutingSnapshot.Candidate, _ now: Date) -> Int? {
        let age = WarmUp.age(pairedAt: candidate.pairedAt, at: now)
        guard candidate.limits.warmUp, age < WarmUp.days else { return candidate.limits.newRecipientsPerDay }
        return WarmUp.allowance(full: candidate.limits.newRecipientsPerDay ?? WarmUp.standard, age: age)
    }
}
