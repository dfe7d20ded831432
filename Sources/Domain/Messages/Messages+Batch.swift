package import Foundation
import Postgres
import Primitives

extension Messages {
    /// Most messages of one request.
    package static let batchLimit = 1_000

    /// Accepts many messages, each by itself, in one commit for every few hundred of them: what is wrong with one refuses that one only. With an
    /// idempotency key the item at `index` has the key `key#index`. The outcomes stand in the order of the items.
    /// - Throws: `InvalidMessage` for no or more than 1,000 items; `AcceptFailure` when nothing could be accepted for a reason that has nothing
    ///   to do with the items.
    package func acceptBatch(
        _ items: [Result<SendMessage, InvalidMessage>], caller: Caller, idempotencyKey: IdempotencyKey?, now: Date
    ) async throws -> [BatchOutcome] {
        guard !items.isEmpty else { throw InvalidMessage([.init("/messages", .empty, "at least one message is needed")]) }
        guard items.count <= Self.batchLimit else { throw InvalidMessage([.init("/messages", .tooMany, "at most 1,000 messages")]) }
        do {
            return try await accept(items, caller, idempotencyKey, now)
        } catch let error as DatabaseError {
            throw AcceptFailure(error)
        } catch is AccountGone {
            throw AcceptFailure(.accountClosed, "the account is closed")
        }
    }

    private struct Item {
        let place: Int
        let draft: MessageDraft
        let decision: RouteDecision
        let row: AcceptRow
    }

    private func accept(
        _ items: [Result<SendMessage, InvalidMessage>], _ caller: Caller, _ key: IdempotencyKey?, _ now: Date
    ) async throws -> [BatchOutcome] {
        let sealer = try await keys.sealer(for: caller.account)
        var outcomes = [BatchOutcome?](repeating: nil, count: items.count)
        var drafts: [(place: Int, draft: MessageDraft)] = []
        drafts.reserveCapacity(items.count)
        for (place, item) in items.enumerated() {
            switch item {
            case .success(let message): drafts.append((place, MessageDraft(message, caller, key?.item(place), sealer)))
            case .failure(let invalid): outcomes[place] = .invalid(invalid)
            }
        }

        let hasRoom = try await pending.hasRoom(for: drafts.count, account: caller.account, now: now)
        let fitting = hasRoom ? drafts.filter { $0.draft.message.lateness == nil } : []
        let decisions = try await route(fitting.map(\.draft), caller, now)
        let random = RandomBlock(AcceptRow.randomBytes * max(fitting.count, 1), from: random)
        var toWrite: [Item] = []
        toWrite.reserveCapacity(fitting.count)
        var refused: [(place: Int, draft: MessageDraft, outcome: BatchOutcome)] = drafts.compactMap { place, draft in
            if let lateness = draft.message.lateness { return (place, draft, .invalid(lateness)) }
            return hasRoom ? nil : (place, draft, .refused(.tooManyPending))
        }
        for ((place, draft), decision) in zip(fitting, decisions) {
            if let sender = decision.sender {
                let row = try AcceptRow(draft, sender: sender, decision: decision, random: random, now: now)
                toWrite.append(Item(place: place, draft: draft, decision: decision, row: row))
            } else {
                refused.append((place, draft, .refused(AcceptFailure(decision))))
            }
        }

        var replays: [(place: Int, message: Message.ID)] = []
        if !refused.isEmpty {
            let earlier = try await earlier(refused.map(\.draft), account: caller.account, now: now)
            for (place, draft, outcome) in refused {
                let known = draft.keyIndex.flatMap { earlier[$0] }
                if let known, known.fingerprint == draft.fingerprint {
                    replays.append((place, known.message))
                } else {
                    outcomes[place] = known == nil ? outcome : .refused(.keyReused)
                }
            }
        }

        var stored = 0
        var lost: [AcceptFailure] = []
        for (item, result) in zip(toWrite, await write(toWrite.map(\.row))) {
            switch result {
            case .success(.stored):
                stored += 1
                outcomes[item.place] = .accepted(Accepted(message: MessageView(item.row, item.draft.message, item.decision), replayed: false))
            case .success(.repeated(let first, let print)) where print == item.draft.fingerprint: replays.append((item.place, first))
            case .success(.repeated): outcomes[item.place] = .refused(.keyReused)
            case .failure(let error):
                let failure = (error as? AcceptFailure) ?? (error as? DatabaseError).map { AcceptFailure($0) } ?? AcceptFailure(.unavailable, "")
                if failure.isRetryable { lost.append(failure) }
                outcomes[item.place] = .refused(failure)
            }
        }
        if stored > 0 { Failpoint.hit(.batchAccepted) }
        pending.add(stored, account: caller.account)
        if let failure = lost.first, lost.count == toWrite.count { throw failure }

        let views = try await find(replays.map(\.message), account: caller.account)
        for (place, id) in replays {
            outcomes[place] = views[id].map { .accepted(Accepted(message: $0.asFirstAnswered, replayed: true)) } ?? .refused(.unfinished)
        }
        return outcomes.map { $0 ?? .refused(.unfinished) }
    }

    /// One decision for each, all at once, so that the look-ups of their recipients share statements.
    private func route(_ drafts: [MessageDraft], _ caller: Caller, _ now: Date) async throws -> [RouteDecision] {
        try await withThrowingTaskGroup(of: (Int, RouteDecision).self) { group in
            for (index, draft) in drafts.enumerated() {
                group.addTask { [routing] in
                    (index, try await routing.decide(draft.message.route, for: draft.routed, caller: caller, now: now))
                }
            }
            var decisions = [RouteDecision?](repeating: nil, count: drafts.count)
            for try await (index, decision) in group { decisions[index] = decision }
            return decisions.compactMap(\.self)
        }
    }

    /// In pieces, each of which commits together with others' pieces. A row that cannot be written fails alone.
    private func write(_ rows: [AcceptRow]) async -> [Result<AcceptOutcome, any Error>] {
        let pieces = stride(from: 0, to: rows.count, by: Self.pieceSize).map { Array(rows[$0..<min($0 + Self.pieceSize, rows.count)]) }
        return await withTaskGroup(of: (Int, [Result<AcceptOutcome, any Error>]).self) { group in
            for (index, piece) in pieces.enumerated() {
                group.addTask { [bulkCommits] in
                    do { return (index, try await bulkCommits.submit(piece)) } catch { return (index, piece.map { _ in .failure(error) }) }
                }
            }
            var results = [[Result<AcceptOutcome, any Error>]](repeating: [], count: pieces.count)
            for await (index, piece) in group { results[index] = piece }
            return results.flatMap(\.self)
        }
    }
}
