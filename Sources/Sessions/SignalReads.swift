import Domain
import Postgres

/// Reads sealed Signal records for all sessions of a node: what they ask in the same moment shares one statement.
final class SignalReads: Sendable {
    /// The records of one device that stand under these indexes.
    struct Request: Sendable {
        var owner: OwnedSender
        var indexes: [[UInt8]]
    }

    struct Row: Sendable {
        var isSession: Bool
        var index: [UInt8]
        var sealed: [UInt8]
        var revision: Int64
    }

    private let reads: GroupCommit<Request, [Row]>

    init(_ database: Database) {
        reads = GroupCommit(maximum: 64, lanes: 2) { try await Self.read($0, in: database) }
    }

    func rows(_ request: Request) async throws -> [Row] { try await reads.submit(request) }

    private static func read(_ requests: [Request], in database: Database) async throws -> [Result<[Row], any Error>] {
        let asked = requests.indices.flatMap { number in requests[number].indexes.map { (Int32(clamping: number), requests[number].owner, $0) } }
        let found = try await database.query(
            "signal.records",
            """
            WITH wanted AS MATERIALIZED (
                SELECT w.request, w.account_id, w.sender_id, w.address_index
                FROM unnest(\(asked.map(\.0)), \(asked.map(\.1.account)), \(asked.map(\.1.sender)), \(asked.map(\.2)))
                    AS w (request, account_id, sender_id, address_index)
            )
            SELECT w.request, true AS is_session, r.address_index, r.sealed, r.revision
            FROM wanted w
            JOIN signal_sessions r
                ON r.account_id = w.account_id AND r.sender_id = w.sender_id AND r.address_index = w.address_index
            UNION ALL
            SELECT w.request, false, r.address_index, r.sealed, r.revision
            FROM wanted w
            JOIN signal_identities r
                ON r.account_id = w.account_id AND r.sender_id = w.sender_id AND r.address_index = w.address_index
            """, settings: Databases.accounts(requests.map(\.owner.account)), access: .readOnly
        ) { row in
            (
                request: Int(try row.column("request", as: Int32.self)),
                row: Row(isSession: try row["is_session"], index: try row["address_index"], sealed: try row["sealed"], revision: try row["revision"])
            )
        }
        var answers = [[Row]](repeating: [], count: requests.count)
        for (request, row) in found where answers.indices.contains(request) { answers[request].append(row) }
        return answers.map { .success($0) }
    }
}
