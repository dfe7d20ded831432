package import Foundation

/// When a condition becomes an alert and when it is over. Times in seconds.
package struct AlertThresholds: Sendable, Hashable {
    package enum Field: String, Sendable, CaseIterable {
        case openAfter = "open_after"
        case clearAfter = "clear_after"
        case share, minimum, age

        /// What can be meant at all.
        package var bounds: ClosedRange<Double> {
            switch self {
            case .openAfter, .clearAfter: 0...86_400
            case .share: 0.01...1
            case .minimum: 1...100_000
            case .age: 60...604_800
            }
        }
    }

    /// It must hold for so long; shorter is silent.
    package var openAfter: TimeInterval
    /// It must be over for so long; coming back before does not count as new.
    package var clearAfter: TimeInterval
    /// From this share on, 0.01…1; of kinds that have one.
    package var share: Double?
    /// The share means nothing before so many messages.
    package var minimum: Int?
    /// From this age on; of kinds that have one.
    package var age: TimeInterval?

    package init(openAfter: TimeInterval, clearAfter: TimeInterval, share: Double? = nil, minimum: Int? = nil, age: TimeInterval? = nil) {
        self.openAfter = openAfter
        self.clearAfter = clearAfter
        self.share = share
        self.minimum = minimum
        self.age = age
    }
}

/// What one account wants to be told of one kind. Stored only where it differs from the defaults.
package struct AlertRule: Sendable, Hashable {
    /// How long a critical alert waits for somebody before it escalates, unless the rule says otherwise, in seconds.
    package static let escalateAfter: TimeInterval = 900

    package let kind: AlertKind
    package var isEnabled: Bool
    package var severity: AlertSeverity
    package var thresholds: AlertThresholds
    /// nil: never.
    package var escalateAfter: TimeInterval?
    /// The account has not changed it.
    package var isDefault: Bool

    /// As it is without a word from the account.
    package init(_ kind: AlertKind) {
        self.kind = kind
        isEnabled = true
        severity = kind.severity
        thresholds = kind.thresholds
        escalateAfter = Self.escalateAfter
        isDefault = true
    }
}

/// What a person wants to change of a rule; nil stays as it is. Times in whole seconds.
package struct AlertRuleFields: Sendable {
    package enum Escalation: Sendable, Hashable {
        case never
        case after(Int)
    }

    package static let escalationBounds = 60...86_400

    package var isEnabled: Bool?
    package var severity: String?
    package var openAfter: Int?
    package var clearAfter: Int?
    package var share: Double?
    package var minimum: Int?
    package var age: Int?
    package var escalateAfter: Escalation?

    package init(
        isEnabled: Bool? = nil, severity: String? = nil, openAfter: Int? = nil, clearAfter: Int? = nil, share: Double? = nil, minimum: Int? = nil,
        age: Int? = nil, escalateAfter: Escalation? = nil
    ) {
        self.isEnabled = isEnabled
        self.severity = severity
        self.openAfter = openAfter
        self.clearAfter = clearAfter
        self.share = share
        self.minimum = minimum
        self.age = age
        self.escalateAfter = escalateAfter
    }

    /// The rule with these changes.
    /// - Throws: every problem at once; pointers are `/enabled`, `/severity`, `/open_after`, `/clear_after`, `/share`, `/minimum`, `/age`,
    ///   `/escalate_after`. A threshold that the kind does not have is `unsupported`, one that cannot be meant is `out_of_range`.
    func applied(to rule: AlertRule) throws(InvalidAlertRule) -> AlertRule {
        var rule = rule
        var problems: [SettingsProblem] = []
        func checked(_ field: AlertThresholds.Field, _ value: Double?) -> Double? {
            guard let value else { return nil }
            guard rule.kind.settings.contains(field) else {
                problems.append(SettingsProblem("/\(field.rawValue)", .unsupported, "alerts of kind \(rule.kind.rawValue) have none"))
                return nil
            }
            guard field.bounds.contains(value) else {
                let bounds = field.bounds
                let low = field == .share ? "\(bounds.lowerBound)" : "\(Int(bounds.lowerBound))"
                problems.append(SettingsProblem("/\(field.rawValue)", .outOfRange, "is from \(low) to \(Int(bounds.upperBound))"))
                return nil
            }
            return value
        }
        if let isEnabled { rule.isEnabled = isEnabled }
        if let severity {
            if let known = AlertSeverity(rawValue: severity) {
                rule.severity = known
            } else {
                problems.append(SettingsProblem("/severity", .invalidValue, "is info, warning or critical"))
            }
        }
        if let value = checked(.openAfter, openAfter.map(Double.init)) { rule.thresholds.openAfter = value }
        if let value = checked(.clearAfter, clearAfter.map(Double.init)) { rule.thresholds.clearAfter = value }
        if let value = checked(.share, share) { rule.thresholds.share = value }
        if let value = checked(.minimum, minimum.map(Double.init)) { rule.thresholds.minimum = Int(value) }
        if let value = checked(.age, age.map(Double.init)) { rule.thresholds.age = value }
        switch escalateAfter {
        case nil: break
        case .never: rule.escalateAfter = nil
        case .after(let seconds) where Self.escalationBounds.contains(seconds): rule.escalateAfter = TimeInterval(seconds)
        case .after: problems.append(SettingsProblem("/escalate_after", .outOfRange, "is from 60 to 86400, or null for never"))
        }
        guard problems.isEmpty else { throw InvalidAlertRule(problems: problems) }
        rule.isDefault = false
        return rule
    }
}

/// A rule that cannot be meant: every problem at once.
package struct InvalidAlertRule: Error, Sendable, Hashable {
    package let problems: [SettingsProblem]
}
