import Foundation

/// A channel as the watcher works with it.
struct PlannedChannel: Sendable, Hashable {
    /// What was told last: of the account, or of the gateway.
    struct Pace: Sendable, Hashable {
        var firedAt = Date.distantPast
        /// What that contained, and what broke in since.
        var firedKinds: Set<AlertKind> = []
        var clearedAt = Date.distantPast
    }

    let id: AlertChannel.ID
    let kind: AlertChannel.Kind
    let state: AlertChannel.State
    let settings: ChannelSettings
    let mutedUntil: Date?
    var account = Pace()
    var gateway = Pace()

    func isMuted(at now: Date) -> Bool { mutedUntil.map { $0 > now } ?? false }

    subscript(isGatewayWide: Bool) -> Pace {
        get { isGatewayWide ? gateway : account }
        set { if isGatewayWide { gateway = newValue } else { account = newValue } }
    }
}

/// What a channel was told of an alert.
struct Telling: Sendable, Hashable {
    struct Key: Hashable, Sendable {
        let alert: Alert.ID
        let channel: AlertChannel.ID
    }

    var subjects: Int
    var isCleared: Bool
}

struct PlannedNotice: Sendable {
    let channel: AlertChannel.ID
    let occasion: AlertNotice.Occasion
    let alerts: [Alert.ID]
    let content: NoticeContent
}

/// Who is told what, now, of one account: pure, and the same however often it is asked.
///
/// A channel gets what opened since the last time as one notice, not sooner than five minutes after that one (a minute for what concerns the whole
/// gateway); only what is critical and of a kind that was not in it breaks in. What is over is told in the same manner, to those who were told of it.
struct NoticePlan {
    static let interval: TimeInterval = 300
    static let gatewayInterval: TimeInterval = 60

    let now: Date
    private(set) var alerts: [BookedAlert]
    private(set) var channels: [PlannedChannel]
    private(set) var tellings: [Telling.Key: Telling]
    private(set) var notices: [PlannedNotice] = []
    /// Changed by this plan.
    private(set) var touchedTellings: Set<Telling.Key> = []
    private(set) var touchedChannels: Set<AlertChannel.ID> = []

    init(alerts: [BookedAlert], channels: [PlannedChannel], tellings: [Telling.Key: Telling], now: Date) {
        self.alerts = alerts.sorted { ($1.severity, $0.openedAt, $0.id) < ($0.severity, $1.openedAt, $1.id) }
        self.channels = channels.sorted { $0.id < $1.id }
        self.tellings = tellings
        self.now = now
        escalate()
        for place in self.channels.indices where self.channels[place].state == .active && !self.channels[place].isMuted(at: now) {
            let settings = self.channels[place].settings
            // A calendar is dear to make.
            let isQuiet = settings.quietHours != nil && ChannelHours(zone: settings.zone).isQuiet(settings.quietHours, at: now)
            for isGatewayWide in [false, true] {
                fire(place, isQuiet: isQuiet, isGatewayWide)
                clear(place, isQuiet: isQuiet, isGatewayWide)
            }
        }
        finish()
    }

    // MARK: Escalation

    /// Critical, and nobody has acknowledged it in time, or the chats that should have told of it are dead: the e-mail channels are told.
    private mutating func escalate() {
        let mails = channels.filter { $0.kind == .email && $0.state == .active && !$0.isMuted(at: now) }
        guard !mails.isEmpty else { return }
        var escalated: [Int] = []
        var targets: [AlertChannel.ID: [Int]] = [:]
        for place in alerts.indices {
            let alert = alerts[place]
            guard alert.severity == .critical, alert.clearedAt == nil, alert.acknowledgedAt == nil, alert.escalatedAt == nil,
                !alert.isSilenced(at: now),
                let patience = alert.escalateAfter
            else { continue }
            // Whoever was told of it and has been blocked since counts as much as whoever wants it.
            let chats = channels.filter { $0.kind == .telegram && $0.state != .unverified && $0.settings.wants(alert.kind, alert.severity) }
            guard !chats.isEmpty else { continue }
            let isDead = chats.allSatisfy { $0.state == .blocked }
            let isLate = now.timeIntervalSince(alert.openedAt) >= patience
            let told = mails.filter { isLate || isDead && tellings[Telling.Key(alert: alert.id, channel: $0.id)] == nil && !willFire($0, alert) }
            guard isLate || isDead && !told.isEmpty else { continue }
            for mail in told { targets[mail.id, default: []].append(place) }
            escalated.append(place)
        }
        for place in escalated { alerts[place].escalatedAt = now }
        for mail in mails { tell(mail.id, .escalated, (targets[mail.id] ?? []).map { alerts[$0] }) }
    }

    /// Whether the channel is to be told of it in the ordinary way.
    private func willFire(_ channel: PlannedChannel, _ alert: BookedAlert) -> Bool { channel.settings.wants(alert.kind, alert.severity) }

    // MARK: Firing

    private mutating func fire(_ place: Int, isQuiet: Bool, _ isGatewayWide: Bool) {
        let channel = channels[place]
        let due = alerts.filter { alert in
            guard alert.kind.isGatewayWide == isGatewayWide, alert.clearedAt == nil, alert.acknowledgedAt == nil, !alert.isSilenced(at: now),
                channel.settings.wants(alert.kind, alert.severity), !isQuiet || alert.severity == .critical
            else { return false }
            return tellings[Telling.Key(alert: alert.id, channel: channel.id)].map { $0.subjects < alert.subjectCount } ?? true
        }
        guard !due.isEmpty else { return }
        var pace = channel[isGatewayWide]
        let kinds = Set(due.map(\.kind))
        if now.timeIntervalSince(pace.firedAt) < (isGatewayWide ? Self.gatewayInterval : Self.interval) {
            guard due.contains(where: { $0.severity == .critical && !pace.firedKinds.contains($0.kind) }) else { return }
            pace.firedKinds.formUnion(kinds)
        } else {
            pace.firedKinds = kinds
        }
        pace.firedAt = now
        let isNew = due.contains { tellings[Telling.Key(alert: $0.id, channel: channel.id)] == nil }
        tell(channel.id, isNew ? .fired : .more, due)
        channels[place][isGatewayWide] = pace
        touchedChannels.insert(channel.id)
    }

    // MARK: Clearing

    private mutating func clear(_ place: Int, isQuiet: Bool, _ isGatewayWide: Bool) {
        let channel = channels[place]
        let due = alerts.filter { alert in
            alert.kind.isGatewayWide == isGatewayWide && alert.clearedAt != nil && Self.isTold(alert.ending)
                && (!isQuiet || alert.severity == .critical)
                && tellings[Telling.Key(alert: alert.id, channel: channel.id)]?.isCleared == false
        }
        var pace = channel[isGatewayWide]
        guard !due.isEmpty, now.timeIntervalSince(pace.clearedAt) >= (isGatewayWide ? Self.gatewayInterval : Self.interval) else { return }
        tell(channel.id, .cleared, due)
        pace.clearedAt = now
        channels[place][isGatewayWide] = pace
        touchedChannels.insert(channel.id)
    }

    /// People know of what they have done themselves, and what only happened has no end.
    private static func isTold(_ ending: Alert.Ending?) -> Bool {
        switch ending {
        case .recovered, .gone: true
        case .acknowledged, .expired, .disabled, nil: false
        }
    }

    // MARK: Parts

    private mutating func tell(_ channel: AlertChannel.ID, _ occasion: AlertNotice.Occasion, _ told: [BookedAlert]) {
        guard !told.isEmpty else { return }
        for alert in told {
            let key = Telling.Key(alert: alert.id, channel: channel)
            tellings[key] = Telling(subjects: alert.subjectCount, isCleared: occasion == .cleared)
            touchedTellings.insert(key)
        }
        let shown = told.prefix(NoticeContent.shownAlerts)
        let content = NoticeContent(items: shown.map(\.item), others: told.count - shown.count, madeAt: now)
        notices.append(PlannedNotice(channel: channel, occasion: occasion, alerts: told.map(\.id), content: content))
    }

    /// What is over and has been told to everybody who can be told is done.
    private mutating func finish() {
        let reachable = Set(channels.filter { $0.state == .active }.map(\.id))
        var open: [Alert.ID: Bool] = [:]
        for (key, telling) in tellings where !telling.isCleared && reachable.contains(key.channel) { open[key.alert] = true }
        for place in alerts.indices where alerts[place].clearedAt != nil {
            alerts[place].isDone = !Self.isTold(alerts[place].ending) || open[alerts[place].id] != true
        }
    }
}
