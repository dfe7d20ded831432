/// An endpoint as a client wants it, or what is to change of one; nil stays as it is. What it may be is checked when it is used, all of it at once.
package struct EndpointFields: Sendable {
    package enum Types: Sendable, Hashable {
        case all
        case only([String])
    }

    package static let descriptionLimit = 200

    package var url: String?
    package var description: String?
    package var types: Types?
    package var includesRecipient: Bool?

    package init(url: String? = nil, description: String? = nil, types: Types? = nil, includesRecipient: Bool? = nil) {
        self.url = url
        self.description = description
        self.types = types
        self.includesRecipient = includesRecipient
    }

    /// The chosen types, sorted, without doubles; `.some(nil)`: all; nil: nothing was said.
    var chosenTypes: [EventType]?? {
        switch types {
        case nil: nil
        case .all: .some(nil)
        case .only(let names): .some(Set(names.compactMap(EventType.init)).sorted { $0.rawValue < $1.rawValue })
        }
    }

    /// - Throws: every problem at once.
    func check(_ rule: WebhookURLRule, isNew: Bool) throws(InvalidEndpoint) {
        var problems: [SettingsProblem] = []
        if let url {
            if let problem = rule.problem(url) { problems.append(SettingsProblem("/url", .invalidValue, problem)) }
        } else if isNew {
            problems.append(SettingsProblem("/url", .required, "the https URL that events are posted to"))
        }
        if let description,
            description.unicodeScalars.count > Self.descriptionLimit || description.unicodeScalars.contains(where: { $0.value < 0x20 })
        {
            problems.append(SettingsProblem("/description", .invalidValue, "has at most 200 characters, none of them a control character"))
        }
        if case .only(let names) = types {
            if names.isEmpty { problems.append(SettingsProblem("/events", .required, "names at least one type, or is null for all of them")) }
            for (place, name) in names.prefix(EventType.allCases.count + 1).enumerated() where EventType(rawValue: name)?.isLogged != true {
                problems.append(SettingsProblem("/events/\(place)", .invalidValue, "is no type of event that an endpoint can choose"))
            }
            if names.count > EventType.allCases.count { problems.append(SettingsProblem("/events", .tooMany, "has more types than there are")) }
        }
        guard problems.isEmpty else { throw InvalidEndpoint(problems: problems) }
    }
}
