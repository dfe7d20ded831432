/// The limits of a sender or a pool as the account set them: what it did not set has its default, what it set to null has none.
/// The initialisers are the validation; `effective` fills in the defaults.
package struct SendingLimits: Sendable, Hashable {
    /// One field.
    package enum Setting<Value: Sendable & Hashable>: Sendable, Hashable {
        /// Not set: the default holds.
        case standard
        /// Set to null.
        case none
        case value(Value)

        func or(_ standard: Value?) -> Value? {
            switch self {
            case .standard: standard
            case .none: nil
            case .value(let value): value
            }
        }
    }

    /// Whose limits they are; it decides the defaults.
    package enum Subject: Sendable, CaseIterable { case liveSender, testSender, pool }

    package static let counts = 1...1_000_000
    /// Milliseconds: gaps and their jitter, up to an hour.
    package static let gaps = 0...3_600_000

    package let perSecond: Setting<Int>
    package let perMinute: Setting<Int>
    package let perHour: Setting<Int>
    package let perDay: Setting<Int>
    package let newRecipientsPerDay: Setting<Int>
    package let warmUp: Setting<Bool>
    package let gap: Setting<Int>
    package let gapJitter: Setting<Int>
    package let coldGap: Setting<Int>
    package let coldGapJitter: Setting<Int>
    package let quietHours: Setting<QuietHours>

    /// Nothing is set.
    package static let standard = SendingLimits()

    private init() {
        (perSecond, perMinute, perHour, perDay, newRecipientsPerDay) = (.standard, .standard, .standard, .standard, .standard)
        warmUp = .standard
        (gap, gapJitter, coldGap, coldGapJitter) = (.standard, .standard, .standard, .standard)
        quietHours = .standard
    }

    /// Reads what the client, or a row, says.
    /// - Parameter pointer: where the object stands in the request, for the problems.
    /// - Throws: every problem at once, contradictions included.
    package init(_ shape: Shape, for subject: Subject, at pointer: String = "/limits") throws(InvalidLimits) {
        var reader = Reader(shape: shape, pointer: pointer)
        perSecond = reader.integer("per_second", in: Self.counts)
        perMinute = reader.integer("per_minute", in: Self.counts)
        perHour = reader.integer("per_hour", in: Self.counts)
        perDay = reader.integer("per_day", in: Self.counts)
        newRecipientsPerDay = reader.integer("new_recipients_per_day", in: Self.counts)
        warmUp = reader.flag("warm_up")
        gap = reader.integer("gap_ms", in: Self.gaps)
        gapJitter = reader.integer("gap_jitter_ms", in: Self.gaps)
        coldGap = reader.integer("cold_gap_ms", in: Self.gaps)
        coldGapJitter = reader.integer("cold_gap_jitter_ms", in: Self.gaps)
        quietHours = reader.quietHours("quiet_hours")
        reader.refuseUnknown()
        if subject == .pool, warmUp == .value(true) {
            reader.note("warm_up", .unsupported, "a pool is never fresh; warm_up is a limit of senders")
        }
        reader.refuseContradictions([
            ("per_second", perSecond), ("per_minute", perMinute), ("per_hour", perHour), ("per_day", perDay),
        ])
        reader.refuseContradictions([("new_recipients_per_day", newRecipientsPerDay), ("per_day", perDay)])
        if !reader.problems.isEmpty { throw InvalidLimits(problems: reader.problems) }
    }

    /// What holds. The defaults of live senders are those of design.md §13.9; test senders and pools have none.
    package func effective(for subject: Subject) -> EffectiveLimits {
        let isLive = subject == .liveSender
        return EffectiveLimits(
            perSecond: perSecond.or(nil), perMinute: perMinute.or(nil), perHour: perHour.or(nil), perDay: perDay.or(nil),
            newRecipientsPerDay: newRecipientsPerDay.or(isLive ? WarmUp.standard : nil), warmUp: warmUp.or(isLive) ?? false,
            gap: gap.or(isLive ? 500 : 0) ?? 0, gapJitter: gapJitter.or(isLive ? 1000 : 0) ?? 0, coldGap: coldGap.or(isLive ? 3000 : 0) ?? 0,
            coldGapJitter: coldGapJitter.or(isLive ? 7000 : 0) ?? 0, quietHours: quietHours.or(nil))
    }

    /// The fields that are set, in the order of the documentation.
    var fields: [(name: String, value: Shape.Field)] {
        func field<Value>(_ name: String, _ setting: Setting<Value>, _ shape: (Value) -> Shape.Field) -> (String, Shape.Field)? {
            switch setting {
            case .standard: nil
            case .none: (name, .null)
            case .value(let value): (name, shape(value))
            }
        }
        return [
            field("per_second", perSecond, Shape.Field.integer), field("per_minute", perMinute, Shape.Field.integer),
            field("per_hour", perHour, Shape.Field.integer), field("per_day", perDay, Shape.Field.integer),
            field("new_recipients_per_day", newRecipientsPerDay, Shape.Field.integer), field("warm_up", warmUp, Shape.Field.flag),
            field("gap_ms", gap, Shape.Field.integer), field("gap_jitter_ms", gapJitter, Shape.Field.integer),
            field("cold_gap_ms", coldGap, Shape.Field.integer), field("cold_gap_jitter_ms", coldGapJitter, Shape.Field.integer),
            field("quiet_hours", quietHours) { .object(["from": .text(QuietHours.text($0.from)), "to": .text(QuietHours.text($0.to))]) },
        ].compactMap { $0 }
    }
}

/// Reads the fields of one object and collects what is wrong with them.
private struct Reader {
    let shape: SendingLimits.Shape
    let pointer: String
    var problems: [SettingsProblem] = []
    private var known: Set<String> = []

    init(shape: SendingLimits.Shape, pointer: String) {
        self.shape = shape
        self.pointer = pointer
    }

    mutating func note(_ name: String, _ code: SettingsProblem.Code, _ detail: String) {
        problems.append(SettingsProblem(name.isEmpty ? pointer : "\(pointer)/\(name)", code, detail))
    }

    private mutating func field(_ name: String) -> SendingLimits.Shape.Field? {
        known.insert(name)
        return shape.fields[name]
    }

    mutating func integer(_ name: String, in range: ClosedRange<Int>) -> SendingLimits.Setting<Int> {
        switch field(name) {
        case nil: return .standard
        case .null: return .none
        case .integer(let value) where range.contains(value): return .value(value)
        case .integer:
            note(name, .outOfRange, "from \(range.lowerBound) to \(range.upperBound), or null for no limit")
            return .standard
        default:
            note(name, .invalidValue, "a whole number, or null for no limit")
            return .standard
        }
    }

    mutating func flag(_ name: String) -> SendingLimits.Setting<Bool> {
        switch field(name) {
        case nil: return .standard
        case .null: return .none
        case .flag(let value): return .value(value)
        default:
            note(name, .invalidValue, "true, false or null")
            return .standard
        }
    }

    mutating func quietHours(_ name: String) -> SendingLimits.Setting<QuietHours> {
        switch field(name) {
        case nil: return .standard
        case .null: return .none
        case .object(let parts):
            for extra in parts.keys.filter({ $0 != "from" && $0 != "to" }).sorted() { note("\(name)/\(extra)", .unknownField, "not a field") }
            let from = time(parts["from"], "\(name)/from")
            let to = time(parts["to"], "\(name)/to")
            guard let from, let to else { return .standard }
            if from == to {
                note(name, .conflict, "from and to are the same time; null means no quiet hours")
            } else if let hours = QuietHours(from: from, to: to) {
                return .value(hours)
            } else {
                note(name, .outOfRange, "at most 12 hours, so that every country has an hour that is nowhere quiet")
            }
            return .standard
        default:
            note(name, .invalidValue, "an object with from and to, or null")
            return .standard
        }
    }

    private mutating func time(_ field: SendingLimits.Shape.Field?, _ name: String) -> Int? {
        guard let field else {
            note(name, .required, "a time of day such as 22:00")
            return nil
        }
        if case .text(let text) = field, let minute = QuietHours.minute(text) { return minute }
        note(name, .invalidValue, "a time of day from 00:00 to 23:59")
        return nil
    }

    mutating func refuseUnknown() {
        for name in shape.fields.keys.filter({ !known.contains($0) }).sorted() { note(name, .unknownField, "not a field") }
    }

    /// A smaller window that allows more than a larger one could never be used up.
    mutating func refuseContradictions(_ windows: [(name: String, setting: SendingLimits.Setting<Int>)]) {
        let set = windows.compactMap { window -> (name: String, cap: Int)? in
            guard case .value(let cap) = window.setting else { return nil }
            return (window.name, cap)
        }
        for (smaller, larger) in zip(set, set.dropFirst()) where smaller.cap > larger.cap {
            note(smaller.name, .conflict, "\(smaller.name) is \(smaller.cap), more than \(larger.name) allows (\(larger.cap))")
        }
    }
}
