import Domain
import Foundation
import Logging
import OutboundHTTP
import Postgres
import Primitives
import Synchronization

/// Takes notices that are due, sends each, and writes down what came of it. What this process forgets when it dies is due again when its claim ends,
/// under the same idempotency key.
struct NoticePost: Sendable {
    private static let claimLimit = 100
    /// Longer than all that one turn may take.
    private static let claimLength: TimeInterval = 180
    /// After this a turn sends nothing more, and gives back the rest.
    private static let patience: TimeInterval = 90
    /// Chats that are written to at the same time.
    private static let chatsAtOnce = 8

    let gateway: Gateway
    let courier: NoticeCourier
    let writer: NoticeWriter
    let troubles = ServiceTroubles()
    let random: any RandomSource
    let now: @Sendable () -> Date
    /// Hears of every try: by which transport, and how it ended.
    let tried: @Sendable (_ transport: String, _ outcome: String) -> Void
    let logger: Logger

    /// Sends what is due at this moment.
    /// - Returns: how many notices were dealt with; those that are due again at once do not count.
    /// - Throws: when nothing could be claimed.
    func turn() async throws -> Int {
        let start = now()
        let claimed = try await gateway.alerts.claimNotices(
            limit: Self.claimLimit, now: start, deadline: start.addingTimeInterval(Self.claimLength))
        guard !claimed.isEmpty else { return 0 }
        let end = start.addingTimeInterval(Self.patience)
        var chats: [Int64: [ClaimedNotice]] = [:]
        var order: [Int64] = []
        var mails: [ClaimedNotice] = []
        for notice in claimed {
            switch notice.channel.address {
            case .telegram(let chat):
                if chats[chat.id] == nil { order.append(chat.id) }
                chats[chat.id, default: []].append(notice)
            case .email: mails.append(notice)
            }
        }
        return await withTaskGroup(of: Int.self) { group in
            group.addTask { [mails] in await deliver(mails: mails, until: end) }
            var count = 0
            var running = 0
            for chat in order {
                if running >= Self.chatsAtOnce { count += await group.next() ?? 0 }
                running += 1
                group.addTask { [notices = chats[chat] ?? []] in await deliver(toChat: notices, until: end) }
            }
            for await more in group { count += more }
            return count
        }
    }

    // MARK: Chats

    /// One chat's notices, in their order.
    private func deliver(toChat notices: [ClaimedNotice], until end: Date) async -> Int {
        var count = 0
        for (place, notice) in notices.enumerated() {
            guard case .telegram(let chat) = notice.channel.address, now() < end, !Task.isCancelled else {
                count += await record(notice, .released)
                continue
            }
            let ending = await unlessAway(.telegram) { await courier.send(notice, to: chat) }
            count += await record(notice, ending)
            // The chat has another id, or none: what is left is claimed again with what is known then.
            switch ending {
            case .migrated, .blocked:
                for left in notices[(place + 1)...] { count += await record(left, .released) }
                return count
            case .sent, .again, .dead, .released: continue
            }
        }
        return count
    }

    // MARK: E-mails

    private func deliver(mails notices: [ClaimedNotice], until end: Date) async -> Int {
        var count = 0
        var (batches, rest) = Self.batches(of: notices)
        // Digests are due at the same time for many: together they are one request.
        let digests = rest.filter { $0.occasion == .digest && $0.firstTriedAt == nil }
        if digests.count > 1 {
            for start in stride(from: 0, to: digests.count, by: ResendClient.batchLimit) {
                let together = Array(digests[start..<min(start + ResendClient.batchLimit, digests.count)])
                guard together.count > 1 else { continue }
                let id = UUID(bytes: random.bytes(16))
                do {
                    guard try await gateway.alerts.batch(together, as: id, now: now()) else { continue }
                    batches.append((id, together))
                    let ids = Set(together.map(\.id))
                    rest.removeAll { ids.contains($0.id) }
                } catch {
                    logger.warning("alert notices could not be batched", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
                }
            }
        }
        for (id, together) in batches { count += await deliver(batch: id, together, until: end) }
        for notice in rest {
            guard case .email(let address) = notice.channel.address, now() < end, !Task.isCancelled else {
                count += await record(notice, .released)
                continue
            }
            let ending = await unlessAway(.email) { await courier.send(writer.email(writer.letter(notice), to: address), key: "alert/\(notice.id)") }
            count += await record(notice, ending)
        }
        return count
    }

    private func deliver(batch id: UUID, _ notices: [ClaimedNotice], until end: Date) async -> Int {
        var count = 0
        // The same e-mails in the same order at every try.
        let notices = notices.sorted { $0.id < $1.id }
        let emails = notices.compactMap { notice -> Email? in
            guard case .email(let address) = notice.channel.address else { return nil }
            return writer.email(writer.letter(notice), to: address)
        }
        guard now() < end, !Task.isCancelled, emails.count == notices.count else {
            for notice in notices { count += await record(notice, .released) }
            return count
        }
        if let until = troubles.until(.email, now()) {
            for notice in notices { count += await record(notice, .again(at: until, code: "service_away")) }
            return count
        }
        if let endings = await courier.send(emails, key: "alert-batch/\(id.uuidString.lowercased())") {
            if let first = endings.first { note(first, .email) }
            for (notice, ending) in zip(notices, endings) { count += await record(notice, ending) }
            return count
        }
        do { _ = try await gateway.alerts.batch(notices, as: nil, now: now()) } catch {
            logger.warning("alert notices could not be taken apart", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
        for notice in notices { count += await record(notice, .again(at: now(), code: "batch_refused")) }
        return count
    }

    private static func batches(of notices: [ClaimedNotice]) -> (batches: [(UUID, [ClaimedNotice])], rest: [ClaimedNotice]) {
        var batches: [UUID: [ClaimedNotice]] = [:]
        var rest: [ClaimedNotice] = []
        for notice in notices {
            if let batch = notice.batch { batches[batch, default: []].append(notice) } else { rest.append(notice) }
        }
        return (batches.sorted { $0.key.uuidString < $1.key.uuidString }.map { ($0.key, $0.value) }, rest)
    }

    // MARK: A service that is away

    /// Does not try while the service is known to be away: one that never answers must not hold up what goes elsewhere.
    private func unlessAway(_ kind: AlertChannel.Kind, _ send: () async -> NoticeReport.Ending) async -> NoticeReport.Ending {
        if let until = troubles.until(kind, now()) { return .again(at: until, code: "service_away") }
        let ending = await send()
        note(ending, kind)
        return ending
    }

    /// Whatever is to be tried again without a moment being named for it says that the service itself has trouble.
    private func note(_ ending: NoticeReport.Ending, _ kind: AlertChannel.Kind) {
        if case .again(nil, _) = ending { troubles.add(kind, now()) }
    }

    // MARK: What came of it

    /// - Returns: 1; 0 if it is due again at once.
    private func record(_ notice: ClaimedNotice, _ ending: NoticeReport.Ending) async -> Int {
        let (outcome, code) = Self.name(ending)
        if outcome != "released" { tried(notice.channel.kind.rawValue, outcome) }
        let report = NoticeReport(notice, ending, at: now())
        do {
            // In a task of its own, awaited: what was sent is written down even when this node stops meanwhile.
            try await Task { try await gateway.alerts.record(report) }.value
        } catch {
            logger.warning(
                "alert notice could not be recorded", metadata: ["notice.id": "\(notice.id)", "error.code": "\(DatabaseError.code(of: error))"])
        }
        guard let code, code != "paced", code != "service_away" else { return outcome == "released" ? 0 : 1 }
        logger.warning(
            "alert notice not sent",
            metadata: [
                "account.id": "\(notice.account)", "notice.id": "\(notice.id)", "channel.id": "\(notice.channel.id)", "error.code": "\(code)",
                "outcome": "\(outcome)",
            ])
        return 1
    }

    /// Words of ours, for metrics and the log.
    private static func name(_ ending: NoticeReport.Ending) -> (outcome: String, code: String?) {
        switch ending {
        case .sent: ("sent", nil)
        case .again(_, let code): ("again", code)
        case .blocked(let code): ("blocked", code)
        case .migrated: ("migrated", nil)
        case .dead(let code): ("dead", code)
        case .released: ("released", nil)
        }
    }
}

/// Which services were away a moment ago.
final class ServiceTroubles: Sendable {
    /// How long nothing is tried after a failure.
    private static let rest: TimeInterval = 10

    private let troubles = Mutex<[AlertChannel.Kind: Date]>([:])

    /// nil: it may be tried.
    func until(_ kind: AlertChannel.Kind, _ now: Date) -> Date? { troubles.withLock { $0[kind] }.flatMap { $0 > now ? $0 : nil } }

    func add(_ kind: AlertChannel.Kind, _ now: Date) { troubles.withLock { $0[kind] = now.addingTimeInterval(Self.rest) } }
}
