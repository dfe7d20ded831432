import Domain
import Foundation

/// The words of one language. Everything that people read in a chat or an e-mail stands here and nowhere else.
protocol Phrases: Sendable {
    /// A language tag.
    var tag: String { get }

    // Alerts
    /// Such as `2 senders cannot send`. One line.
    func title(_ kind: AlertKind, _ count: Int) -> String
    /// A sentence or two: what has happened.
    func happened(_ item: NoticeContent.Item, _ times: LetterTimes) -> String
    /// What a person can do.
    func wayOut(_ kind: AlertKind) -> String
    func ending(_ ending: Alert.Ending?) -> String
    func severity(_ severity: AlertSeverity) -> String
    func heading(_ occasion: AlertNotice.Occasion, alerts: Int) -> String
    /// `and 12 more`
    func more(_ count: Int) -> String
    var since: String { get }
    var lasted: String { get }
    var runbook: String { get }
    var escalated: String { get }
    func span(_ seconds: TimeInterval) -> String

    // Buttons, and what is shown when one was pressed
    var acknowledge: String { get }
    var silenceHour: String { get }
    var silenceDay: String { get }
    func acknowledged(_ count: Int) -> String
    func silenced(hours: Int) -> String
    var nothingToDo: String { get }

    // Digest, self-test, linking, verification
    func digest(_ digest: AlertDigest, _ times: LetterTimes) -> [Letter.Block]
    var selfTest: String { get }
    var linked: String { get }
    var verification: String { get }
    var verificationLink: String { get }
    var verificationEnd: String { get }

    // The deletion receipt
    func receipt(_ receipt: DeletionReceipt, _ times: LetterTimes) -> (title: String, blocks: [Letter.Block])

    // Answers in a chat
    func linkTaken(account: String, isActive: Bool) -> String
    var linkUnknown: String { get }
    var startHint: String { get }
    var notLinked: String { get }
    var help: String { get }
    func status(_ overview: AlertOverview, mutedUntil: Date?, _ times: LetterTimes) -> [Letter.Block]
    func condition(_ code: SenderCondition.Code) -> String
    var senders: String { get }
    var noSenders: String { get }
    func muted(until: String?) -> String
    var muteUnclear: String { get }
    var unlinked: String { get }
    var unlinkFailed: String { get }
    var unknownCommand: String { get }
    /// The database cannot be asked now.
    var tryLater: String { get }
}

extension AlertChannel.Language {
    var phrases: any Phrases {
        switch self {
        case .english: EnglishPhrases()
        case .indonesian: IndonesianPhrases()
        }
    }
}

/// Moments as people in a zone read them.
struct LetterTimes: Sendable {
    let zone: TimeZone

    /// - Parameter zone: an IANA name; UTC if this machine does not know it.
    init(zone name: String) { zone = TimeZone(identifier: name) ?? .gmt }

    /// `2026-11-21 20:30 (Asia/Jakarta)`
    func text(_ moment: Date) -> String { "\(bare(moment)) (\(zone == .gmt ? "UTC" : zone.identifier))" }

    /// `2026-11-21 20:30`
    func bare(_ moment: Date) -> String {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = zone
        let parts = calendar.dateComponents([.year, .month, .day, .hour, .minute], from: moment)
        func two(_ number: Int?) -> String { number.map { $0 < 10 ? "0\($0)" : "\($0)" } ?? "00" }
        return "\(parts.year ?? 0)-\(two(parts.month))-\(two(parts.day)) \(two(parts.hour)):\(two(parts.minute))"
    }
}
