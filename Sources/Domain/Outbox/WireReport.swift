import Foundation
import Postgres
import Primitives

/// What the server or a recipient's device says about messages whose bytes have left.
enum WireReport: Sendable {
    case acknowledged(Acknowledged)
    case received([ReceiptRecord])
}

extension Outbox {
    /// Everybody's reports of one moment in one transaction and one round trip: acknowledgements first, then what they are overtaken by. The two
    /// concern the same rows within milliseconds; on lanes of their own each would wait for the other's commit.
    /// - Returns: per report the messages that moved.
    static func commit(_ batch: [(WireReport, now: Date)], in engine: Database) async throws -> [Result<[Message.ID], any Error>] {
        let now = batch.map(\.now).max() ?? .distantPast
        var taken: [Acknowledged] = []
        var receipts: [ReceiptRecord] = []
        for (report, _) in batch {
            switch report {
            case .acknowledged(let acknowledged): taken.append(acknowledged)
            case .received(let records): receipts += records
            }
        }
        var statements: [Statement] = []
        if !taken.isEmpty {
            Failpoint.hit(.acknowledgeBegin)
            statements.append(acknowledgeStatement(taken, now: now))
        }
        if !receipts.isEmpty { statements.append(receiptStatement(best(receipts), now: now)) }
        let accounts = Set(taken.map(\.owner.account)).union(receipts.map(\.owner.account))
        var results = try await engine.transaction(Databases.accounts(accounts)) { [statements] in try await $0.commit(with: statements) }[...]
        var sent: Set<Message.ID> = []
        if !taken.isEmpty, let result = results.popFirst() {
            sent = Set(try result.rows(as: { try $0.column("message_id", as: Message.ID.self) }))
        }
        var risen: [String: Set<Message.ID>] = [:]
        if let result = results.popFirst() {
            for (wireID, message) in try result.rows(as: {
                (try $0.column("wire_id", as: String.self), try $0.column("message_id", as: Message.ID.self))
            }) {
                risen[wireID, default: []].insert(message)
            }
        }
        return batch.map { report, _ in
            switch report {
            case .acknowledged(let acknowledged): .success(sent.contains(acknowledged.message) ? [acknowledged.message] : [])
            case .received(let records): .success(Set(records.map(\.wireID)).flatMap { risen[$0] ?? [] })
            }
        }
    }
}
