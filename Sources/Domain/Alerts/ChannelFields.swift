import Foundation

/// What a person wants to set of a channel; nil stays as it is, or is the default of a new one.
package struct ChannelFields: Sendable {
    /// A setting that can be taken away.
    package enum Change<Value: Sendable>: Sendable {
        case off
        case to(Value)
    }

    package var language: String?
    package var minimumSeverity: String?
    /// `.off`: all kinds.
    package var kinds: Change<[String]>?
    /// `HH:MM`.
    package var quietHours: Change<(from: String, to: String)>?
    package var zone: String?
    package var digestHour: Change<Int>?
    package var selfTest: Bool?
    package var isEscalationOnly: Bool?

    package init(
        language: String? = nil, minimumSeverity: String? = nil, kinds: Change<[String]>? = nil,
        quietHours: Change<(from: String, to: String)>? = nil,
        zone: String? = nil, digestHour: Change<Int>? = nil, selfTest: Bool? = nil, isEscalationOnly: Bool? = nil
    ) {
        self.language = language
        self.minimumSeverity = minimumSeverity
        self.kinds = kinds
        self.quietHours = quietHours
        self.zone = zone
        self.digestHour = digestHour
        self.selfTest = selfTest
        self.isEscalationOnly = isEscalationOnly
    }

    /// The settings with these changes.
    /// - Throws: every problem at once; pointers are `/language`, `/minimum_severity`, `/kinds/0`, `/quiet_hours`, `/time_zone`, `/digest_hour`,
    ///   `/escalation_only`.
    func applied(to settings: ChannelSettings, of kind: AlertChannel.Kind) throws(InvalidChannel) -> ChannelSettings {
        var settings = settings
        var problems: [SettingsProblem] = []
        func refuse(_ pointer: String, _ detail: String, _ code: SettingsProblem.Code = .invalidValue) {
            problems.append(SettingsProblem(pointer, code, detail))
        }
        if let language {
            if let known = AlertChannel.Language(rawValue: language) { settings.language = known } else { refuse("/language", "is en or id") }
        }
        if let minimumSeverity {
            if let known = AlertSeverity(rawValue: minimumSeverity) {
                settings.minimumSeverity = known
            } else {
                refuse("/minimum_severity", "is info, warning or critical")
            }
        }
        switch kinds {
        case nil: break
        case .off?: settings.kinds = nil
        case .to(let names)?:
            if names.isEmpty { refuse("/kinds", "names at least one kind, or is null for all of them", .required) }
            for (place, name) in names.prefix(AlertKind.allCases.count + 1).enumerated() where AlertKind(rawValue: name) == nil {
                refuse("/kinds/\(place)", "is no kind of alert")
            }
            if names.count > AlertKind.allCases.count { refuse("/kinds", "has more kinds than there are", .tooMany) }
            settings.kinds = Set(names.compactMap(AlertKind.init)).sorted { $0.rawValue < $1.rawValue }
        }
        switch quietHours {
        case nil: break
        case .off?: settings.quietHours = nil
        case .to(let hours)?:
            if let from = QuietHours.minute(hours.from), let to = QuietHours.minute(hours.to), let hours = QuietHours(from: from, to: to) {
                settings.quietHours = hours
            } else {
                refuse("/quiet_hours", "is from HH:MM to HH:MM, 12 hours at most")
            }
        }
        if let zone {
            if ChannelHours.isZone(zone) { settings.zone = zone } else { refuse("/time_zone", "is a name of the IANA list, such as Asia/Jakarta") }
        }
        switch digestHour {
        case nil: break
        case .off?: settings.digestHour = nil
        case .to(let hour)?:
            if (0...23).contains(hour) {
                settings.digestHour = hour
            } else {
                refuse("/digest_hour", "is from 0 to 23, or null for none", .outOfRange)
            }
        }
        if let selfTest { settings.selfTest = selfTest }
        if let isEscalationOnly {
            if isEscalationOnly, kind != .email { refuse("/escalation_only", "is for e-mail", .unsupported) }
            settings.isEscalationOnly = isEscalationOnly
        }
        guard problems.isEmpty else { throw InvalidChannel(problems: problems) }
        return settings
    }
}

/// A channel that cannot be meant: every problem at once.
package struct InvalidChannel: Error, Sendable, Hashable {
    package let problems: [SettingsProblem]
}
