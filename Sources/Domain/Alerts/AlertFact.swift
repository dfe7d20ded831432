import Foundation

/// What the database says about one thing at one moment, in the words of one kind of alert.
struct AlertFact: Sendable, Hashable {
    enum Standing: Sendable, Hashable {
        /// It holds. `since`: it has for so long, at least; nil: it is seen for the first time.
        case present(since: Date?)
        /// Neither; whatever is remembered stays.
        case held
        /// All is well.
        case absent
        /// What it was about is gone, or another kind tells of it now.
        case gone
    }

    let kind: AlertKind
    let account: Account.ID
    /// The account's id where the kind is about the account, or about the gateway.
    let subject: UUID
    var standing: Standing
    /// Of an event: when it happened.
    var occurredAt: Date?
    var figures = AlertFigures()
}

/// Where a condition stands.
struct AlertCondition: Sendable, Hashable {
    struct Key: Hashable, Sendable {
        let account: Account.ID
        let kind: AlertKind
        let subject: UUID
    }

    let key: Key
    var pendingSince: Date
    /// nil: it has not held for long enough; or, with `endedAt`, it was never to be told.
    var alert: Alert.ID?
    var openSince: Date?
    var clearSince: Date?
    var occurredAt: Date?
    /// An event that is over, remembered for as long as it is seen.
    var endedAt: Date?

    enum Phase { case pending, open, over }
    var phase: Phase { endedAt != nil ? .over : openSince != nil ? .open : .pending }
}

/// The rules of one condition: pure, a table test covers all of them. A condition opens once and ends once, whatever flaps and whoever restarts.
enum AlertConditionRules {
    enum Change: Sendable, Hashable {
        case opened
        case ended(Alert.Ending)
    }

    /// How long something that has happened stays open when nobody acknowledges it, in seconds.
    static let eventLifetime: TimeInterval = 86_400
    /// How long after a key was made it still counts as new; longer than its alert, so that it is told once.
    static let eventWindow: TimeInterval = eventLifetime + 3_600

    /// The condition afterwards (nil: there is none), and what that means. A condition that opens has no alert yet: the caller gives it one.
    /// - Parameter isAcknowledged: somebody has acknowledged the alert that it belongs to.
    static func step(
        _ condition: AlertCondition?, _ fact: AlertFact, rule: AlertRule, isAcknowledged: Bool, now: Date
    ) -> (condition: AlertCondition?, change: Change?) {
        if fact.kind.isEvent { return event(condition, fact, rule, isAcknowledged, now) }
        switch condition?.phase {
        case nil, .over:
            guard case .present(let since) = fact.standing, rule.isEnabled else { return (nil, nil) }
            let new = AlertCondition(
                key: AlertCondition.Key(account: fact.account, kind: fact.kind, subject: fact.subject), pendingSince: min(since ?? now, now))
            return opening(new, rule, now)
        case .pending:
            guard let condition, rule.isEnabled else { return (nil, nil) }
            switch fact.standing {
            case .present: return opening(condition, rule, now)
            case .held: return (condition, nil)
            case .absent, .gone: return (nil, nil)
            }
        case .open:
            guard var condition else { return (nil, nil) }
            guard rule.isEnabled else { return (nil, .ended(.disabled)) }
            switch fact.standing {
            case .present, .held:
                condition.clearSince = nil
                return (condition, nil)
            case .gone: return (nil, .ended(.gone))
            case .absent:
                let since = min(condition.clearSince ?? now, now)
                condition.clearSince = since
                return now.timeIntervalSince(since) >= rule.thresholds.clearAfter ? (nil, .ended(.recovered)) : (condition, nil)
            }
        }
    }

    private static func opening(_ condition: AlertCondition, _ rule: AlertRule, _ now: Date) -> (AlertCondition?, Change?) {
        guard now.timeIntervalSince(condition.pendingSince) >= rule.thresholds.openAfter else { return (condition, nil) }
        var condition = condition
        condition.openSince = now
        return (condition, .opened)
    }

    private static func event(
        _ condition: AlertCondition?, _ fact: AlertFact, _ rule: AlertRule, _ isAcknowledged: Bool, _ now: Date
    ) -> (AlertCondition?, Change?) {
        guard var condition else {
            guard case .present = fact.standing, let occurredAt = fact.occurredAt else { return (nil, nil) }
            let key = AlertCondition.Key(account: fact.account, kind: fact.kind, subject: fact.subject)
            var new = AlertCondition(key: key, pendingSince: now, occurredAt: occurredAt)
            // Seen while the rule is off: never told, not even when it is on again.
            if rule.isEnabled { new.openSince = now } else { new.endedAt = now }
            return (new, rule.isEnabled ? .opened : nil)
        }
        switch (condition.phase, fact.standing) {
        case (.over, .present), (.over, .held):
            guard case .present = fact.standing, let occurredAt = fact.occurredAt, occurredAt > condition.occurredAt ?? .distantPast else {
                return (condition, nil)
            }
            // Once more.
            condition = AlertCondition(key: condition.key, pendingSince: now, occurredAt: occurredAt)
            if rule.isEnabled { condition.openSince = now } else { condition.endedAt = now }
            return (condition, rule.isEnabled ? .opened : nil)
        case (.over, _): return (nil, nil)
        case (_, .gone): return (nil, .ended(.gone))
        case (_, .absent): return (nil, .ended(.recovered))
        case (_, .present), (_, .held):
            let ending: Alert.Ending? =
                if !rule.isEnabled {
                    .disabled
                } else if isAcknowledged {
                    .acknowledged
                } else if let openSince = condition.openSince, now.timeIntervalSince(openSince) >= eventLifetime {
                    .expired
                } else {
                    nil
                }
            guard let ending else { return (condition, nil) }
            condition.endedAt = now
            return (condition, .ended(ending))
        }
    }
}
