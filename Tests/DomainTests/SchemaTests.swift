@testable import Domain
import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct SchemaTests {
    @Test func `the compiled migrations are the files`() throws {
        let directory = Self.repository.appendingPathComponent("Migrations")
        let files = try FileManager.default.contentsOfDirectory(atPath: directory.path).filter { $0.hasSuffix(".sql") }.sorted()

        #expect(files == Migrations.all.map { String(repeating: "0", count: 4 - String($0.version).count) + "\($0.version)_\($0.name).sql" })
        for (file, migration) in zip(files, Migrations.all) {
            let text = try String(contentsOf: directory.appendingPathComponent(file), encoding: .utf8)
            #expect(text == migration.sql + "\n" || text == migration.sql, "\(file) was changed: run Scripts/generate-migrations")
        }
    }

    @Test func `every column has a data class and every class a column`() async throws {
        let text = try String(contentsOf: Self.repository.appendingPathComponent("Migrations/data-classes.txt"), encoding: .utf8)
        let lines = text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { $0.split(separator: " ") }
        let classes: Set<Substring> = ["id", "sealed", "index", "verifier", "state", "time", "text"]
        try await withTestGateway { test in
            let columns = try await test.owner.query(
                "test.columns",
                """
                SELECT c.relname || '.' || a.attname AS name
                FROM pg_class c
                JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                  AND c.relname <> 'gateway_migrations'
                ORDER BY 1
                """, as: { try $0.column("name", as: String.self) })

            #expect(lines.allSatisfy { $0.count == 2 && classes.contains($0[1]) })
            #expect(lines.map { String($0[0]) }.sorted() == columns.sorted())
        }
    }

    @Test func `every table with an account id is isolated, by force, and leads its keys with it`() async throws {
        try await withTestGateway { test in
            let open = try await test.owner.query(
                "test.open",
                """
                SELECT c.relname::text AS name
                FROM pg_class c
                JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'account_id'
                WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
                  AND NOT (c.relrowsecurity AND c.relforcerowsecurity AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid))
                """, as: { try $0.column("name", as: String.self) })
            let loose = try await test.owner.query(
                "test.loose",
                """
                SELECT i.indexrelid::regclass::text AS name
                FROM pg_index i
                JOIN pg_class c ON c.oid = i.indrelid AND c.relnamespace = 'public'::regnamespace
                JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'account_id'
                WHERE i.indisunique AND i.indkey[0] <> a.attnum
                """, as: { try $0.column("name", as: String.self) })
            let powers = try await test.owner.query(
                "test.powers",
                """
                SELECT rolname::text AS name FROM pg_roles
                WHERE rolname IN ('gateway_api', 'gateway_engine', 'gateway_cron', 'gateway_schema', 'gateway_migrator') AND (rolsuper OR rolbypassrls)
                """, as: { try $0.column("name", as: String.self) })
            let unpinned = try await test.owner.query(
                "test.unpinned",
                """
                SELECT p.proname::text AS name FROM pg_proc p
                WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef
                  AND (NOT coalesce(p.proconfig::text LIKE '%search_path=public, pg_temp%', false) OR p.proowner <> 'gateway_schema'::regrole
                    OR EXISTS (SELECT FROM aclexplode(p.proacl) g WHERE g.grantee = 0))
                """, as: { try $0.column("name", as: String.self) })

            #expect(open.isEmpty && loose.isEmpty && powers.isEmpty && unpinned.isEmpty)
        }
    }

    @Test func `without its account in the transaction a login sees nothing and writes nothing`() async throws {
        try await withTestGateway { test in
            let (account, _, _) = try await test.makeReadySender()
            _ = try await test.accept(account)
            let other = try await test.gateway.accounts.create(name: "Warung", now: test.now).id
            let api = test.gateway.databases.api

            for settings in [[], Databases.accounts([other])] {
                for table in ["messages", "outbox", "senders", "message_events", "message_bodies", "idempotency", "wire_ids"] {
                    let rows = try await api.query(
                        "test.rows", "SELECT 1 AS one FROM \(unescaped: table) WHERE account_id = \(account)", settings: settings,
                        as: { try $0.column("one", as: Int.self) })
                    #expect(rows.isEmpty)
                }
                await #expect(throws: DatabaseError.self) {
                    try await api.execute(
                        "test.insert", "INSERT INTO sender_leases (account_id, sender_id) VALUES (\(account), \(UUID()))", settings: settings)
                }
            }
            await #expect(throws: DatabaseError.self) { try await test.gateway.databases.cron.execute("test.truncate", "TRUNCATE contact_cache") }
            await #expect(throws: DatabaseError.self) {
                _ = try await api.query("test.credentials", "SELECT sealed FROM sender_devices", as: { _ in })
            }
        }
    }

    /// What each table lets a state change to; `prepared` concerns the queue alone.
    private static let transitions: [(table: String, allowed: [MessageState: Set<MessageState>])] = [
        (
            "messages",
            [
                .scheduled: [.accepted, .canceled, .expired, .failed], .hold: [.accepted, .canceled, .expired],
                .accepted: [.onWire, .canceled, .expired, .failed], .onWire: [.onWire, .sent, .delivered, .read, .failed, .unconfirmed],
                .sent: [.delivered, .read], .delivered: [.read], .unconfirmed: [.delivered, .read],
            ]
        ),
        (
            "outbox",
            [.scheduled: [.accepted], .hold: [.accepted], .accepted: [.prepared], .prepared: [.accepted, .onWire], .onWire: [.onWire]]
        ),
    ]

    @Test func `both tables refuse every pair of states that the machine does not list, and every other beginning`() async throws {
        try await withTestGateway { test in
            let (account, _, _) = try await test.makeReadySender()
            let message = try await test.accept(account)
            for (table, allowed) in Self.transitions {
                for new in MessageState.allCases {
                    for old in MessageState.allCases where allowed[old] != nil || table == "messages" && old != .prepared {
                        #expect(
                            try await Self.moves(message.id, in: table, from: old, to: new, "", test) == allowed[old, default: []].contains(new),
                            "\(table): \(old) to \(new)")
                    }
                    #expect(try await Self.begins(message.id, in: table, as: new, test) == [.scheduled, .accepted].contains(new), "\(table): \(new)")
                }
                #expect(try await Self.moves(message.id, in: table, from: .onWire, to: .accepted, ", refusals = refusals + 1", test))
            }
        }
    }

    private static func moves(
        _ id: Message.ID, in table: String, from old: MessageState, to new: MessageState, _ more: String, _ test: TestGateway
    ) async throws -> Bool {
        try await isAllowed(test) { transaction in
            _ = try await transaction.execute("test.off", "SET LOCAL session_replication_role = replica")
            _ = try await transaction.execute("test.old", "UPDATE \(unescaped: table) SET \(assignment(old, table)) WHERE message_id = \(id)")
            _ = try await transaction.execute("test.on", "SET LOCAL session_replication_role = origin")
            _ = try await transaction.execute(
                "test.new", "UPDATE \(unescaped: table) SET \(assignment(new, table))\(unescaped: more) WHERE message_id = \(id)")
        }
    }

    /// Takes the row out and puts it back in that state.
    private static func begins(_ id: Message.ID, in table: String, as state: MessageState, _ test: TestGateway) async throws -> Bool {
        try await isAllowed(test) { transaction in
            _ = try await transaction.execute(
                "test.copy", "CREATE TEMPORARY TABLE copied ON COMMIT DROP AS SELECT * FROM \(unescaped: table) WHERE message_id = \(id)")
            _ = try await transaction.execute("test.gone", "DELETE FROM \(unescaped: table) WHERE message_id = \(id)")
            _ = try await transaction.execute("test.state", "UPDATE copied SET \(assignment(state, table))")
            _ = try await transaction.execute("test.insert", "INSERT INTO \(unescaped: table) SELECT * FROM copied")
        }
    }

    private static func assignment(_ state: MessageState, _ table: String) -> SQL {
        guard table == "outbox" else { return "state = \(state.rawValue)" }
        return [.prepared, .onWire].contains(state) ? "state = \(state.rawValue), deadline = now()" : "state = \(state.rawValue), deadline = NULL"
    }

    /// Runs `body`, and rolls everything back.
    private static func isAllowed(_ test: TestGateway, _ body: (Transaction) async throws -> Void) async throws -> Bool {
        struct RollBack: Error {}
        do {
            return try await test.owner.transaction { transaction -> Bool in
                try await body(transaction)
                throw RollBack()
            }
        } catch is RollBack {
            return true
        } catch let error as DatabaseError {
            guard case .check = error.code else { throw error }
            return false
        }
    }

    private static var repository: URL {
        URL(fileURLWithPath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    }
}
