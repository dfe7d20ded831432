import Postgres

extension Outbox {
    /// Has PostgreSQL look again at tables that have become much larger than it knows: plans are kept, and those made while a table was empty read all
    /// of it. Any node may ask, as often as it likes: most times there is nothing to do. How many tables were looked at.
    @discardableResult
    package func learnSizes() async throws -> Int {
        try await databases.engine.queryOne(
            "outbox.learnSizes", "SELECT gateway_learn_sizes() AS learned", as: { try $0.column("learned", as: Int.self) }) ?? 0
    }
}
