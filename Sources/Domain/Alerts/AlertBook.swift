import Foundation
import Primitives

/// An alert as the watcher works with it.
struct BookedAlert: Sendable, Hashable {
    let id: Alert.ID
    let account: Account.ID
    let kind: AlertKind
    let severity: AlertSeverity
    /// The first ones.
    var subjects: [UUID]
    var subjectCount: Int
    var openCount: Int
    var figures: AlertFigures
    let openedAt: Date
    var clearedAt: Date?
    var ending: Alert.Ending?
    let acknowledgedAt: Date?
    let silencedUntil: Date?
    let escalateAfter: TimeInterval?
    var escalatedAt: Date?
    var isDone = false

    func isSilenced(at now: Date) -> Bool { silencedUntil.map { $0 > now } ?? false }

    /// For a notice.
    var item: NoticeContent.Item {
        NoticeContent.Item(
            alert: id, kind: kind, severity: severity, openedAt: openedAt, clearedAt: clearedAt, ending: ending,
            subjects: subjects.compactMap { kind.subject.name(of: $0) }.map { NoticeSubject(kind: kind.subject, id: $0) }, subjectCount: subjectCount,
            figures: figures)
    }
}

extension AlertKind.SubjectKind {
    /// The text of a subject's id; nil: it is about the account or the gateway as a whole.
    func name(of subject: UUID) -> String? {
        switch self {
        case .sender: Sender.ID(subject).description
        case .endpoint: WebhookEndpoint.ID(subject).description
        case .channel: AlertChannel.ID(subject).description
        case .key: APIKey.ID(subject).description
        case .account, .gateway: nil
        }
    }
}

/// The alerts that are open, or not told to the end: what conditions open and end becomes theirs. Pure.
struct AlertBook {
    private(set) var alerts: [Alert.ID: BookedAlert]
    /// Changed or made in this step.
    private(set) var touched: Set<Alert.ID> = []
    private(set) var opened: Set<Alert.ID> = []
    private(set) var cleared: Set<Alert.ID> = []
    /// Of these something was well again in this step.
    private var recovered: Set<Alert.ID> = []
    /// Of each account and kind, the one that further subjects join.
    private var joinable: [Account.ID: [AlertKind: Alert.ID]] = [:]
    private let random: any RandomSource

    init(_ alerts: [BookedAlert], random: any RandomSource) {
        self.alerts = Dictionary(alerts.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        self.random = random
        for alert in alerts.sorted(by: { $0.id < $1.id }) where alert.clearedAt == nil && alert.acknowledgedAt == nil {
            joinable[alert.account, default: [:]][alert.kind] = alert.id
        }
    }

    /// A further subject joins the open alert of its kind that nobody has acknowledged yet, or else begins a new one.
    /// - Returns: the alert that it belongs to now.
    mutating func open(_ fact: AlertFact, rule: AlertRule, now: Date) -> Alert.ID {
        if let id = joinable[fact.account]?[fact.kind], var alert = alerts[id] {
            if !alert.subjects.contains(fact.subject) {
                alert.subjectCount += 1
                if alert.subjects.count < Alert.namedSubjects { alert.subjects.append(fact.subject) }
            }
            alert.openCount = min(alert.openCount + 1, alert.subjectCount)
            alert.figures = fact.figures
            alerts[id] = alert
            touched.insert(id)
            return id
        }
        let alert = BookedAlert(
            id: .make(at: now, random: random), account: fact.account, kind: fact.kind, severity: rule.severity, subjects: [fact.subject],
            subjectCount: 1, openCount: 1, figures: fact.figures, openedAt: now, acknowledgedAt: nil, silencedUntil: nil,
            escalateAfter: rule.escalateAfter)
        alerts[alert.id] = alert
        joinable[fact.account, default: [:]][fact.kind] = alert.id
        touched.insert(alert.id)
        opened.insert(alert.id)
        return alert.id
    }

    /// One subject less; with the last one the alert is over.
    mutating func end(_ id: Alert.ID, _ ending: Alert.Ending, now: Date) {
        guard var alert = alerts[id], alert.clearedAt == nil else { return }
        alert.openCount -= 1
        if ending == .recovered { recovered.insert(id) }
        if alert.openCount <= 0 {
            alert.openCount = 0
            alert.clearedAt = now
            // That one is well again says more than that another one is gone.
            alert.ending = recovered.contains(id) ? .recovered : ending
            if joinable[alert.account]?[alert.kind] == id { joinable[alert.account]?[alert.kind] = nil }
            cleared.insert(id)
        }
        alerts[id] = alert
        touched.insert(id)
    }

    mutating func update(_ alert: BookedAlert) {
        guard alerts[alert.id] != alert else { return }
        alerts[alert.id] = alert
        touched.insert(alert.id)
    }
}
