import Domain
import Foundation
import OutboundHTTP

/// One try of a notice: writes it, sends it, and says what that means for it.
struct NoticeCourier: Sendable {
    /// Longer waits than this are the database's to keep.
    private static let longestWait: TimeInterval = 5

    let telegram: TelegramDesk?
    let resend: (client: ResendClient, pace: ResendPace)?
    let writer: NoticeWriter
    let now: @Sendable () -> Date
    /// Waits for so many seconds. Throws when the task is cancelled.
    let wait: @Sendable (TimeInterval) async throws -> Void

    // MARK: Telegram

    func send(_ notice: ClaimedNotice, to chat: TelegramChat) async -> NoticeReport.Ending {
        let ending = await send(writer.message(notice, chat: chat.id))
        // What it told of is over: nothing is left to press.
        if case .sent = ending, notice.occasion == .cleared {
            for earlier in notice.earlierMessages { await telegram?.takeButtons(off: earlier, in: chat.id) }
        }
        return ending
    }

    func send(_ message: TelegramMessage) async -> NoticeReport.Ending {
        guard let telegram else { return .again(code: "telegram_not_configured") }
        if let ending = await leave({ telegram.pace.take(message.chat, now: $0) }) { return ending }
        do { return .sent(telegramMessage: try await telegram.bot.send(message)) } catch {
            return ending(of: error, message.chat, telegram.pace)
        }
    }

    private func ending(of failure: TelegramFailure, _ chat: Int64, _ pace: TelegramPace) -> NoticeReport.Ending {
        switch failure {
        case .flood(let wait):
            let until = now().addingTimeInterval(wait / .seconds(1))
            pace.pause(chat, until: until, now: now())
            return .again(at: until, code: failure.code)
        case .blocked, .chatNotFound: return .blocked(code: failure.code)
        case .migrated(let id): return .migrated(to: id)
        case .badRequest, .notModified, .gone: return .dead(code: failure.code)
        case .conflict, .unauthorized, .server, .unreadable: return .again(code: failure.code)
        case .network(let cause): return Self.ending(of: cause)
        }
    }

    // MARK: E-mail

    /// - Parameter key: the same for every try of the same e-mail.
    func send(_ email: Email, key: String) async -> NoticeReport.Ending {
        guard let resend else { return .again(code: "email_not_configured") }
        if let ending = await leave({ resend.pace.take(now: $0) }) { return ending }
        do {
            let taken = try await resend.client.send(email, key: key)
            if let pause = taken.pause { resend.pace.pause(until: now().addingTimeInterval(pause / .seconds(1))) }
            return .sent(provider: taken.id)
        } catch {
            return ending(of: error, resend.pace)
        }
    }

    /// All in one request. One ending for each, or nil: one of them will never be taken, and nobody says which: send them one by one.
    func send(_ emails: [Email], key: String) async -> [NoticeReport.Ending]? {
        func all(_ ending: NoticeReport.Ending) -> [NoticeReport.Ending] { emails.map { _ in ending } }
        guard let resend else { return all(.again(code: "email_not_configured")) }
        if let ending = await leave({ resend.pace.take(now: $0) }) { return all(ending) }
        do {
            let taken = try await resend.client.send(emails, key: key)
            if let pause = taken.pause { resend.pace.pause(until: now().addingTimeInterval(pause / .seconds(1))) }
            return taken.ids.map { .sent(provider: $0) }
        } catch {
            if case .refused = error { return nil }
            return all(ending(of: error, resend.pace))
        }
    }

    private func ending(of failure: ResendFailure, _ pace: ResendPace) -> NoticeReport.Ending {
        switch failure {
        case .limited(let wait):
            let until = now().addingTimeInterval(wait / .seconds(1))
            pace.pause(until: until)
            return .again(at: until, code: failure.code)
        case .quotaExceeded: return .again(at: now().addingTimeInterval(3_600), code: failure.code)
        case .concurrent: return .again(at: now().addingTimeInterval(5), code: failure.code)
        // A try of ours was taken before; only a label in it has changed since.
        case .keyUsed: return .sent()
        case .refused: return .dead(code: failure.code)
        case .unauthorized, .notFound, .server, .unreadable: return .again(code: failure.code)
        case .network(let cause): return Self.ending(of: cause)
        }
    }

    // MARK: Parts

    private static func ending(of failure: OutboundFailure) -> NoticeReport.Ending {
        switch failure.code {
        case .canceled, .closed, .overloaded: .released
        default: .again(code: failure.code.rawValue)
        }
    }

    /// Waits for its turn. An ending: not now.
    private func leave(_ take: (Date) -> Date?) async -> NoticeReport.Ending? {
        var waited: TimeInterval = 0
        while let until = take(now()) {
            let left = max(0.01, until.timeIntervalSince(now()))
            guard waited + left <= Self.longestWait else { return .again(at: until, code: "paced") }
            do { try await wait(left) } catch { return .released }
            waited += left
        }
        return nil
    }
}
