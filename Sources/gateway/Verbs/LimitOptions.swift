import ArgumentParser
import Domain

/// Limits on the command line: `--limit per_minute=20 --limit quiet_hours=21:00-07:00 --limit warm_up=false --limit per_day=none`.
struct LimitOptions: ParsableArguments {
    @Option(
        name: .customLong("limit"),
        help: """
            NAME=VALUE, any number of times: per_second, per_minute, per_hour, per_day, new_recipients_per_day, gap_ms, gap_jitter_ms, \
            cold_gap_ms, cold_gap_jitter_ms (numbers), warm_up (true or false), quiet_hours (21:00-07:00); none for no limit.
            """)
    var limits: [String] = []

    /// nil: none was given. What the values mean is checked by `SendingLimits`.
    func shape() throws -> SendingLimits.Shape? {
        guard !limits.isEmpty else { return nil }
        var shape = SendingLimits.Shape()
        for text in limits {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, !parts[0].isEmpty else { throw ValidationError("--limit takes NAME=VALUE, such as per_minute=20") }
            guard shape.fields.updateValue(Self.field(parts[1], of: parts[0]), forKey: parts[0]) == nil else {
                throw ValidationError("--limit \(parts[0]) is given twice")
            }
        }
        return shape
    }

    private static func field(_ text: String, of name: String) -> SendingLimits.Shape.Field {
        if text == "none" { return .null }
        if let number = Int(text) { return .integer(number) }
        if let flag = Bool(text) { return .flag(flag) }
        let times = text.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        if name == "quiet_hours", times.count == 2 { return .object(["from": .text(times[0]), "to": .text(times[1])]) }
        return .text(text)
    }

    static func text(_ problems: [Domain.SettingsProblem]) -> String { problems.map { "\($0.pointer): \($0.detail)" }.joined(separator: "\n") }

    /// One line per limit that is set, and what was used.
    static func lines(_ limits: SendingLimits, _ candidate: RoutingSnapshot.Candidate? = nil) -> String {
        let set = limits.shape.fields.sorted { $0.key < $1.key }.map { "\($0.key) = \(text($0.value))" }
        var lines = set.isEmpty ? ["no limits of its own"] : set
        if let usage = candidate?.usage {
            lines.append(
                "used: \(usage.minute.used) in its last minute, \(usage.hour.used) in its last hour, \(usage.day.used) on its last day, "
                    + "\(usage.newRecipients) of them to new recipients")
        }
        return lines.joined(separator: "\n")
    }

    private static func text(_ field: SendingLimits.Shape.Field) -> String {
        switch field {
        case .null: "none"
        case .integer(let value): "\(value)"
        case .flag(let value): "\(value)"
        case .text(let value): value
        case .object(let parts): [parts["from"], parts["to"]].compactMap { $0.map(text) }.joined(separator: "-")
        case .other: "?"
        }
    }
}
