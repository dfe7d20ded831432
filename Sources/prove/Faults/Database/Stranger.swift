import Logging
import Postgres
import Proof

/// A session of somebody who is no gateway: a person at psql, another program. Nothing limits what it does.
struct Stranger: Sendable {
    private let database: Database

    /// - Parameters:
    ///   - address: nil: the server's own socket, as its superuser.
    ///   - patience: how long it waits for a server that cannot be reached.
    init(in world: World, address: String? = nil, patience: Duration = .seconds(10)) {
        var logger = Logger(label: "prove")
        logger.logLevel = .critical
        database = Database(
            Database.Configuration(
                url: address ?? world.database.address("gateway_owner"), connections: 1, name: "stranger", pooler: true, patience: patience),
            logger: logger)
    }

    /// Runs statements as they stand; a transaction that they begin stays open.
    func say(_ text: String, within limit: Duration = .seconds(60)) async throws {
        try await database.executeOutsideTransaction("stranger", text, deadline: limit)
    }

    /// Looks at something, in a transaction of its own.
    func ask<Row: Sendable>(_ sql: SQL, as read: @Sendable (RowReader) throws -> Row) async throws -> [Row] {
        try await database.query("stranger.ask", sql, access: .readOnly, as: read)
    }

    /// Ends the session with whatever it held.
    func leave() async { await database.close() }

    /// Runs `body` with a stranger, who leaves afterwards.
    static func with<Result: Sendable>(_ world: World, _ body: (Stranger) async throws -> Result) async rethrows -> Result {
        let stranger = Stranger(in: world)
        do {
            let result = try await body(stranger)
            await stranger.leave()
            return result
        } catch {
            await stranger.leave()
            throw error
        }
    }
}
