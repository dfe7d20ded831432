import Domain
import Foundation

struct EnglishPhrases: Phrases {
    let tag = "en"

    // MARK: Alerts

    func title(_ kind: AlertKind, _ count: Int) -> String {
        func senders(_ one: String, _ many: String) -> String { count == 1 ? "A sender \(one)" : "\(count) senders \(many)" }
        return switch kind {
        case .senderDown: senders("cannot send", "cannot send")
        case .senderLoggedOut: senders("was logged out", "were logged out")
        case .senderReplaced: senders("was replaced: its keys may be stolen", "were replaced: their keys may be stolen")
        case .senderBanned: senders("is banned for a time", "are banned for a time")
        case .senderQuota: senders("has nearly used up its quota", "have nearly used up their quota")
        case .senderTimeLocked: senders("may not start new chats", "may not start new chats")
        case .failureShare: "Many messages fail"
        case .undeliveredShare: "Many messages are not delivered"
        case .queueOld: "Messages wait too long"
        case .webhookFailing: count == 1 ? "A webhook endpoint fails" : "\(count) webhook endpoints fail"
        case .channelDead: count == 1 ? "A channel for alerts takes nothing any more" : "\(count) channels for alerts take nothing any more"
        case .keyCreated: count == 1 ? "An API key was created" : "\(count) API keys were created"
        case .cronLate: "The hourly job is late"
        case .databaseTrouble: "The database does not answer"
        case .clientOutdated: "WhatsApp no longer takes this client version"
        }
    }

    func happened(_ item: NoticeContent.Item, _ times: LetterTimes) -> String {
        let figures = item.figures
        return switch item.kind {
        case .senderDown: "Not connected to WhatsApp for longer than it should take. Messages wait, or go over other senders."
        case .senderLoggedOut: "The linked device was removed on the phone or by WhatsApp. It sends nothing until it is paired again."
        case .senderReplaced:
            "Another program connected with this linked device's credentials while the gateway held the connection. The gateway does not connect "
                + "again by itself."
        case .senderBanned: "WhatsApp has banned the number" + (figures.until.map { " until \(times.text($0))." } ?? " for a time.")
        case .senderQuota: "\(share(figures)) of what the sender may send, or of the first contacts it may make, is used up for today."
        case .senderTimeLocked:
            "WhatsApp refuses new chats from this number (463)" + (figures.until.map { " until \(times.text($0))." } ?? ".")
                + " Chats that exist go on."
        case .failureShare: "\(share(figures)) of the messages of the last minutes failed\(among(figures))."
        case .undeliveredShare: "\(share(figures)) of the messages that were sent have no delivery receipt\(among(figures))."
        case .queueOld:
            "The oldest message that is due waits for \(span(Double(figures.age ?? 0)))"
                + (figures.count.map { "; \($0) wait in all." } ?? ".")
        case .webhookFailing: "The endpoint has not taken an event for \(span(Double(figures.age ?? 0))). It is disabled after five days."
        case .channelDead: "The bot was blocked or removed, or the e-mail address bounces. What would have gone there comes here."
        case .keyCreated: "Whoever has the key can use this account within its scopes."
        case .cronLate: "It has not succeeded for \(span(Double(figures.age ?? 0))). What should be erased by now may still be there."
        case .databaseTrouble: "No message is accepted, sent or recorded while it is away."
        case .clientOutdated: "WhatsApp answers logins with 405. All senders are affected sooner or later."
        }
    }

    func wayOut(_ kind: AlertKind) -> String {
        switch kind {
        case .senderDown: "Nothing, if it comes back by itself. Otherwise look at the network of this machine, and at the sender's state."
        case .senderLoggedOut: "Pair the sender again: WhatsApp on the phone, Linked devices."
        case .senderReplaced: "Find out who else has these credentials, log the device out on the phone, then pair the sender again."
        case .senderBanned: "Wait: it is lifted by itself. Send less from new numbers, and only to people who expect it."
        case .senderQuota: "Spread over more senders, or wait until tomorrow."
        case .senderTimeLocked: "Wait, and let other senders write to new contacts."
        case .failureShare: "Look at the failure codes of the latest messages."
        case .undeliveredShare: "Look whether recipients still use WhatsApp, and whether the sender is blocked by many."
        case .queueOld: "Look whether the sender is connected and what limits it: explain the route of a waiting message."
        case .webhookFailing: "Look at the delivery log of the endpoint, and mend what it says."
        case .channelDead: "Unblock the bot or link the chat again; verify the address again."
        case .keyCreated: "If nobody you know made it, revoke it at once."
        case .cronLate: "Start a node with the role cron, or run: gateway cron hourly"
        case .databaseTrouble: "Look at PostgreSQL and its disk, then run: gateway doctor"
        case .clientOutdated: "Update the gateway, or set a newer whatsapp.client_version."
        }
    }

    func ending(_ ending: Alert.Ending?) -> String {
        switch ending {
        case .recovered, nil: "All is well again."
        case .gone: "What it was about is gone, or is told as something else."
        case .acknowledged: "Somebody acknowledged it."
        case .expired: "Nobody acknowledged it for a day."
        case .disabled: "Its rule was disabled."
        }
    }

    func severity(_ severity: AlertSeverity) -> String {
        switch severity {
        case .info: "Info"
        case .warning: "Warning"
        case .critical: "Critical"
        }
    }

    func heading(_ occasion: AlertNotice.Occasion, alerts: Int) -> String {
        switch occasion {
        case .fired: alerts == 1 ? "Alert" : "\(alerts) alerts"
        case .more: "It got worse"
        case .cleared: "Over"
        case .escalated: "Nobody has acknowledged this"
        case .digest: "Daily summary"
        case .selfTest: "Test"
        case .linked: "Linked"
        case .verification: "Do you want alerts here?"
        }
    }

    func more(_ count: Int) -> String { "and \(count) more" }
    let since = "Since"
    let lasted = "Lasted"
    let runbook = "What to do, step by step"
    let escalated = "It was told before, and nobody has acknowledged it in time, or nobody could be told."

    func span(_ seconds: TimeInterval) -> String {
        let whole = Int(min(max(0, seconds), 1e9))
        return switch whole {
        case ..<120: "\(whole) s"
        case ..<7_200: "\(whole / 60) min"
        case ..<172_800: "\(whole / 3_600) h \(whole % 3_600 / 60) min"
        default: "\(whole / 86_400) d \(whole % 86_400 / 3_600) h"
        }
    }

    private func share(_ figures: AlertFigures) -> String { figures.share.map { "\(Int(min(max(0, $0), 1) * 100)) %" } ?? "Many" }

    private func among(_ figures: AlertFigures) -> String {
        guard let count = figures.count, let total = figures.total else { return "" }
        return " (\(count) of \(total))"
    }

    // MARK: Buttons

    let acknowledge = "Acknowledge"
    let silenceHour = "Silence 1 h"
    let silenceDay = "Silence 24 h"
    func acknowledged(_ count: Int) -> String { count == 1 ? "Acknowledged." : "\(count) alerts acknowledged." }
    func silenced(hours: Int) -> String { "Silent for \(hours) h." }
    let nothingToDo = "There is nothing to do here any more."

    // MARK: Other notices

    func digest(_ digest: AlertDigest, _ times: LetterTimes) -> [Letter.Block] {
        var blocks: [Letter.Block] = [
            .fact("From", times.bare(digest.from)), .fact("To", times.text(digest.to)),
            .fact("Senders that can send", "\(digest.sendersReady) of \(digest.senders)"), .fact("Messages sent", "\(digest.sent)"),
            .fact("Delivered", "\(digest.delivered)"), .fact("Failed", "\(digest.failed)"),
        ]
        blocks.append(
            digest.lines.isEmpty
                ? .paragraph("No alerts.") : .list(digest.lines.map { "\(title($0.kind, 1)): \($0.opened) new, \($0.open) open" }))
        return blocks
    }

    let selfTest = "This message comes once a week to show that alerts arrive here. Nothing is wrong."
    let linked = "Alerts of this account come here from now on. /help says what you can do."
    let verification = "Somebody who runs the account below wants its alerts to come to this address. If that is not you, do nothing."
    let verificationLink = "Yes, send alerts here"
    let verificationEnd = "The link works once, for 48 hours."

    func receipt(_ receipt: DeletionReceipt, _ times: LetterTimes) -> (title: String, blocks: [Letter.Block]) {
        (
            "The account was deleted",
            [
                .paragraph("All its data was deleted from the gateway. This is the receipt; the gateway keeps nothing that leads from it to you."),
                .fact("Receipt", receipt.id.description), .fact("Asked for", times.text(receipt.requestedAt)),
                .fact("Done", times.text(receipt.completedAt)), .fact("No backup can be read after", times.text(receipt.backupsUnreadableAt)),
                .fact("Rows deleted", "\(receipt.counts.values.reduce(0, +))"),
                .list(receipt.counts.sorted { $0.key < $1.key }.filter { $0.value > 0 }.map { "\($0.key): \($0.value)" }),
            ]
        )
    }

    // MARK: Answers in a chat

    func linkTaken(account: String, isActive: Bool) -> String {
        isActive
            ? "This chat gets the alerts of “\(account)” already."
            : "This chat asks for the alerts of “\(account)”. Whoever made the link must now confirm it through the API; until then nothing comes here."
    }

    let linkUnknown = "This link does not work (any more). Links work once, for one hour: make a new one through the API."
    let startHint =
        "This bot tells of alerts of a WhatsApp gateway. To link this chat, open the link that the API gives (POST /v1/alerts/telegram-link)."
    let notLinked = "This chat is not linked to any account."
    let help = """
        /status how things stand
        /senders every sender and its state
        /mute 2h no alerts here for two hours (30m, 1d, off)
        /unlink no alerts here any more
        """

    func status(_ overview: AlertOverview, mutedUntil: Date?, _ times: LetterTimes) -> [Letter.Block] {
        var blocks: [Letter.Block] = []
        let states = overview.senders.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\(condition($0.key)): \($0.value)" }
        blocks.append(states.isEmpty ? .paragraph(noSenders) : .list(states))
        blocks.append(.fact("Messages waiting", "\(overview.queued)"))
        if let oldest = overview.oldestDue { blocks.append(.fact("Oldest due since", times.text(oldest))) }
        blocks.append(.fact("Open alerts", "\(overview.openCount)"))
        if !overview.open.isEmpty {
            blocks.append(.list(overview.open.prefix(10).map { "\(title($0.kind, $0.openCount)), \(times.bare($0.openedAt))" }))
        }
        if let until = mutedUntil { blocks.append(.fact("Muted until", times.text(until))) }
        return blocks
    }

    func condition(_ code: SenderCondition.Code) -> String { code.rawValue.replacing("_", with: " ") }
    let senders = "Senders"
    let noSenders = "There are no senders."
    func muted(until: String?) -> String { until.map { "No alerts here until \($0). /mute off ends it." } ?? "Alerts come here again." }
    let muteUnclear = "Say how long: /mute 30m, /mute 2h, /mute 1d, at most seven days; /mute off ends it."
    let unlinked = "This chat is unlinked. No alerts come here any more."
    let unlinkFailed = "That could not be done now. Try again later."
    let unknownCommand = "There is no such command. /help shows those there are."
    let tryLater = "That cannot be looked up now. Try again later."
}
