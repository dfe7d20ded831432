package import Domain
package import Foundation
package import Logging
import Postgres

/// Does what people in chats ask for: links, commands, buttons. Each update once, however often and by whichever way it comes.
package struct TelegramInbox: Sendable {
    private let gateway: Gateway
    private let desk: TelegramDesk
    private let now: @Sendable () -> Date
    private let logger: Logger

    package init(gateway: Gateway, desk: TelegramDesk, now: @escaping @Sendable () -> Date, logger: Logger) {
        self.gateway = gateway
        self.desk = desk
        self.now = now
        self.logger = logger
    }

    /// Deals with an update. One that came before changes nothing.
    /// - Throws: when the database cannot be asked whether it came before: it is to be given again then.
    package func receive(_ update: TelegramUpdate) async throws {
        guard try await gateway.alerts.isFirst(update: update.id, bot: desk.bot.id, now: now()) else { return }
        do {
            switch update.event {
            case .message(let message): try await received(message)
            case .press(let press): try await pressed(press)
            case .membership(let membership) where membership.isGone:
                try await gateway.alerts.chatBlocked(membership.chat.id, code: TelegramFailure.blocked.code, now: now())
            case .membership, .other: break
            }
        } catch let failure as TelegramFailure {
            // What was asked for is done; only the answer did not arrive.
            logger.info("telegram answer not sent", metadata: ["error.code": "\(failure.code)"])
        } catch {
            logger.warning("telegram update not handled", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
    }

    // MARK: Messages

    private func received(_ message: TelegramUpdate.Message) async throws {
        if let id = message.migratedTo {
            try await gateway.alerts.chatMigrated(from: message.chat.id, to: id)
            return
        }
        guard let text = message.text, message.from?.isBot != true, let chat = TelegramChat(message.chat),
            let command = TelegramCommand(text, bot: await desk.userName ?? "")
        else { return }
        if case .start(let payload) = command {
            try await start(payload, chat, language: Self.language(message.from))
            return
        }
        // Who is not linked gets no answer: the bot's name is public.
        let links = try await gateway.alerts.links(of: chat.id)
        guard let first = links.first else { return }
        let words = first.language.phrases
        switch command {
        case .start: break
        case .status: for link in links { try await status(link, chat) }
        case .senders: for link in links { try await senders(link, chat) }
        case .mute(let seconds): try await mute(links, seconds, chat, words)
        case .muteUnclear: try await reply(words.muteUnclear, chat)
        case .unlink:
            var isDone = true
            for link in links { isDone = try await gateway.alerts.unlink(link.channel, account: link.account) && isDone }
            try await reply(isDone ? words.unlinked : words.unlinkFailed, chat)
        case .help: try await reply(words.help, chat)
        case .unknown: if !chat.isGroup { try await reply(words.unknownCommand, chat) }
        }
    }

    private func start(_ payload: String?, _ chat: TelegramChat, language: AlertChannel.Language) async throws {
        let words = language.phrases
        guard let payload else {
            let isLinked = try await !gateway.alerts.links(of: chat.id).isEmpty
            return try await reply(isLinked ? words.help : words.startHint, chat)
        }
        guard payload.utf8.count <= 64,
            let taken = try await gateway.alerts.takeTelegramLink(token: payload, chat: chat, language: language, now: now())
        else { return try await reply(words.linkUnknown, chat) }
        try await reply(words.linkTaken(account: taken.accountName, isActive: taken.isAlreadyActive), chat)
    }

    private func status(_ link: ChatLink, _ chat: TelegramChat) async throws {
        let time = now()
        guard let channel = try await gateway.alerts.channel(link.channel, account: link.account) else { return }
        let words = link.language.phrases
        let overview: AlertOverview
        do { overview = try await gateway.alerts.overview(link.account, now: time) } catch { return try await reply(words.tryLater, chat) }
        let blocks = words.status(
            overview, mutedUntil: channel.isMuted(at: time) ? channel.mutedUntil : nil, LetterTimes(zone: channel.settings.zone))
        let letter = Letter(title: overview.accountName, blocks: blocks, language: words.tag)
        try await reply(letter, chat)
    }

    private func senders(_ link: ChatLink, _ chat: TelegramChat) async throws {
        let words = link.language.phrases
        let senders = try await gateway.senders.list(link.account)
        let time = now()
        let lines = senders.prefix(50).map { "\($0.label) (\($0.id)): \(words.condition($0.condition(at: time).code))" }
        var blocks: [Letter.Block] = lines.isEmpty ? [.paragraph(words.noSenders)] : lines.map { .list([$0]) }
        if senders.count > lines.count { blocks.append(.paragraph(words.more(senders.count - lines.count))) }
        try await reply(Letter(title: words.senders, blocks: blocks, language: words.tag), chat)
    }

    private func mute(_ links: [ChatLink], _ seconds: Int, _ chat: TelegramChat, _ words: any Phrases) async throws {
        let time = now()
        let until = seconds > 0 ? time.addingTimeInterval(TimeInterval(seconds)) : nil
        var zone = "UTC"
        for link in links {
            if let channel = try await gateway.alerts.mute(link.channel, account: link.account, until: until, now: time) {
                zone = channel.settings.zone
            }
        }
        try await reply(words.muted(until: until.map { LetterTimes(zone: zone).text($0) }), chat)
    }

    // MARK: Buttons

    private func pressed(_ press: TelegramUpdate.Press) async throws {
        guard let place = press.message else { return }
        let links = try await gateway.alerts.links(of: place.chat.id)
        let words = (links.first?.language ?? Self.language(press.from)).phrases
        guard !links.isEmpty, let button = press.data.flatMap({ NoticeButton(data: $0) }),
            let alerts = try await gateway.alerts.act(button.action, on: button.notice, chat: place.chat.id, now: now()), !alerts.isEmpty
        else {
            try await desk.bot.answer(press.id, text: words.nothingToDo)
            return
        }
        switch button.action {
        case .acknowledge:
            try await desk.bot.answer(press.id, text: words.acknowledged(alerts.count))
            await desk.takeButtons(off: place.id, in: place.chat.id)
        case .silence(let seconds):
            try await desk.bot.answer(press.id, text: words.silenced(hours: Int(seconds / 3_600)))
            // Who has silenced it may still say that somebody is at it.
            let left = [[TelegramMessage.Button(words.acknowledge, data: NoticeButton(.acknowledge, button.notice).data)]]
            try await desk.bot.edit(place.id, in: place.chat.id, buttons: left)
        }
    }

    // MARK: Answers

    private func reply(_ text: String, _ chat: TelegramChat) async throws {
        _ = try await desk.reply(TelegramMessage(chat: chat.id, html: Letter.escaped(text)), now: now())
    }

    private func reply(_ letter: Letter, _ chat: TelegramChat) async throws {
        _ = try await desk.reply(TelegramMessage(chat: chat.id, html: letter.telegram), now: now())
    }

    /// A person's app says what it speaks; old ones say `in` for Indonesian.
    private static func language(_ user: TelegramUpdate.User?) -> AlertChannel.Language {
        let tag = user?.languageCode?.lowercased().prefix { $0 != "-" && $0 != "_" } ?? ""
        return tag == "id" || tag == "in" ? .indonesian : .english
    }
}

extension TelegramChat {
    /// nil: no chat that alerts can go to, such as a channel.
    init?(_ chat: TelegramUpdate.Chat) {
        guard let kind = Kind(rawValue: chat.kind.rawValue) else { return nil }
        self.init(id: chat.id, kind: kind, title: chat.name)
    }
}
