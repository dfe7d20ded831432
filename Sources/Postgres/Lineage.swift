import Synchronization

/// Which history of the database a process has seen: its system identifier and the highest timeline (PostgreSQL manual, chapter 26.3.5).
///
/// A promoted standby begins a new timeline. A server that still stands on an earlier one is the primary that was replaced: what is written there
/// is written to a past that nobody else shares, so it is refused as if it could not be reached. All pools of a process share one of these.
/// It lasts as long as the process: after a restart the first server that takes writes is believed.
package final class Lineage: Sendable {
    /// What a server says about itself.
    struct Server: Hashable, Sendable {
        var isStandby: Bool
        var system: Int64
        /// 0 for a standby.
        var timeline: Int

        static let question = Statement(
            "connect.lineage",
            """
            SELECT pg_is_in_recovery() AS standby, system_identifier AS system,
                CASE WHEN pg_is_in_recovery() THEN 0 ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint END AS timeline
            FROM pg_control_system()
            """)

        init(isStandby: Bool, system: Int64, timeline: Int) {
            self.isStandby = isStandby
            self.system = system
            self.timeline = timeline
        }

        init(_ row: RowReader) throws {
            self.init(
                isStandby: try row.column("standby", as: Bool.self), system: try row.column("system", as: Int64.self),
                timeline: Int(try row.column("timeline", as: Int64.self)))
        }
    }

    private let seen = Mutex<Server?>(nil)

    package init() {}

    /// Why this server may not be used; nil: it may, and nothing older may from now on.
    func refusal(of server: Server) -> String? {
        if server.isStandby { return "server is a standby" }
        return seen.withLock { seen in
            if let seen, seen.system != server.system { return "another database than before" }
            if let seen, seen.timeline > server.timeline { return "server is on an earlier timeline than one seen before" }
            seen = server
            return nil
        }
    }
}
