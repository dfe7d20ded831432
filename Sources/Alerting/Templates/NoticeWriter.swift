package import Domain
package import Foundation

/// Turns notices into letters, messages and e-mails. The same notice always becomes the same bytes: a second try must be recognised as one.
package struct NoticeWriter: Sendable {
    /// How people reach the gateway, without a slash at its end; for links.
    let publicURL: String
    /// The sender of e-mails.
    let from: String

    /// Subjects named with one alert, and with each of several.
    private static let subjectsAlone = 20
    private static let subjectsEach = 3
    private static let longestLabel = 64

    package init(publicURL: String, from: String) {
        self.publicURL = publicURL.hasSuffix("/") ? String(publicURL.dropLast()) : publicURL
        self.from = from
    }

    // MARK: Letters

    package func letter(_ notice: ClaimedNotice) -> Letter {
        letter(
            notice.occasion, notice.content, account: notice.accountName, settings: notice.channel.settings, secret: notice.secret)
    }

    func letter(
        _ occasion: AlertNotice.Occasion, _ content: NoticeContent, account: String, settings: ChannelSettings, secret: String?
    ) -> Letter {
        let words = settings.language.phrases
        let times = LetterTimes(zone: settings.zone)
        let total = content.items.count + content.others
        var heading = words.heading(occasion, alerts: total)
        var blocks: [Letter.Block] = []
        switch occasion {
        case .fired, .more, .cleared, .escalated:
            if total == 1, let item = content.items.first { heading += ": " + words.title(item.kind, item.subjectCount) }
            if occasion == .escalated { blocks.append(.paragraph(words.escalated)) }
            for item in content.items { blocks += self.blocks(item, isOver: occasion == .cleared, isAlone: total == 1, words, times) }
            if content.others > 0 { blocks.append(.paragraph(words.more(content.others))) }
        case .digest: if let digest = content.digest { blocks += words.digest(digest, times) }
        case .selfTest: blocks.append(.paragraph(words.selfTest))
        case .linked: blocks.append(.paragraph(words.linked))
        case .verification:
            blocks.append(.paragraph(words.verification))
            blocks.append(.link(words.verificationLink, "\(publicURL)/verify-email?token=\(secret ?? "")"))
            blocks.append(.paragraph(words.verificationEnd))
        }
        return Letter(title: "[\(Self.cut(account))] \(heading)", blocks: blocks, language: words.tag)
    }

    private func blocks(
        _ item: NoticeContent.Item, isOver: Bool, isAlone: Bool, _ words: any Phrases, _ times: LetterTimes
    ) -> [Letter.Block] {
        var blocks: [Letter.Block] = []
        if !isAlone { blocks.append(.heading(words.title(item.kind, item.subjectCount))) }
        if isOver {
            blocks.append(.paragraph(words.ending(item.ending)))
        } else {
            blocks.append(.paragraph("\(words.severity(item.severity)). \(words.happened(item, times))"))
        }
        let shown = item.subjects.filter { !$0.id.isEmpty }.prefix(isAlone ? Self.subjectsAlone : Self.subjectsEach)
        if !shown.isEmpty {
            var lines = shown.map { subject in subject.label.map { "\(Self.cut($0)) (\(subject.id))" } ?? subject.id }
            if item.subjectCount > lines.count { lines.append(words.more(item.subjectCount - lines.count)) }
            blocks.append(.list(lines))
        }
        if isOver, let clearedAt = item.clearedAt {
            blocks.append(.fact(words.lasted, words.span(clearedAt.timeIntervalSince(item.openedAt))))
        } else {
            blocks.append(.fact(words.since, times.text(item.openedAt)))
            blocks.append(.paragraph(words.wayOut(item.kind)))
            blocks.append(.link(words.runbook, "\(publicURL)/docs/alerts/\(item.kind.rawValue)"))
        }
        return blocks
    }

    package func letter(_ receipt: ClaimedReceipt) -> Letter {
        let words = receipt.language.phrases
        let (title, blocks) = words.receipt(receipt.receipt, LetterTimes(zone: "UTC"))
        return Letter(title: title, blocks: blocks, language: words.tag)
    }

    // MARK: Forms

    package func message(_ notice: ClaimedNotice, chat: Int64) -> TelegramMessage {
        TelegramMessage(
            chat: chat, html: letter(notice).telegram, isSilent: notice.occasion == .digest || notice.occasion == .selfTest,
            buttons: Self.hasButtons(notice.occasion) ? NoticeButton.row(for: notice.id, notice.channel.settings.language.phrases) : [])
    }

    package func email(_ letter: Letter, to address: EmailAddress) -> Email {
        Email(from: from, to: address.text, subject: letter.title, text: letter.text, html: letter.html)
    }

    static func hasButtons(_ occasion: AlertNotice.Occasion) -> Bool {
        switch occasion {
        case .fired, .more, .escalated: true
        case .cleared, .digest, .selfTest, .linked, .verification: false
        }
    }

    /// What an operator called something, short and on one line.
    private static func cut(_ text: String) -> String {
        let line = String(text.map { $0.isNewline ? " " : $0 })
        return line.count > longestLabel ? String(line.prefix(longestLabel - 1)) + "…" : line
    }
}
