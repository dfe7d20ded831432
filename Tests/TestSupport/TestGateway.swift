import Delivery
package import Domain
package import Foundation
package import Postgres
import Primitives
package import Secrets

/// A gateway on a database of its own, with a key ring in a temporary folder and a clock that stands still.
package struct TestGateway: Sendable {
    package let gateway: Gateway
    package let clock: TestClock
    package let database: TestDatabase
    package let keyRing: KeyRing
    /// The superuser, who sees every row: for looking behind the gateway's back.
    package let owner: Database

    package var now: Date { clock.now }
}

/// Runs `body` with a fresh gateway and takes everything down afterwards. Databases are copied from a template that is migrated once per
/// process, so tests run in parallel, ten at a time. `pooled`: through a transaction pooler. `argon2` is as cheap as it can be, unless a test wants the real costs.
package func withTestGateway<Result: Sendable>(
    start: Date = Date(timeIntervalSince1970: 1_780_000_000), connections: Int = 4, pooled: Bool = TestPooler.isForced,
    _ body: (TestGateway) async throws -> Result
) async throws -> Result {
    await TestGate.shared.enter()
    do {
        let result = try await withOpenGateway(start, connections, pooled, body)
        await TestGate.shared.leave()
        return result
    } catch {
        await TestGate.shared.leave()
        throw error
    }
}

private func withOpenGateway<Result: Sendable>(
    _ start: Date, _ connections: Int, _ pooled: Bool, _ body: (TestGateway) async throws -> Result
) async throws -> Result {
    let database = try await TestCluster.shared.database(template: "gateway") { url in
        let owner = Database(Database.Configuration(url: url, connections: 1, name: "migrate", deadline: .seconds(60)), logger: .silent)
        _ = try await Migrator(database: owner, migrations: Migrations.all).migrate()
        await owner.close()
    }
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("gateway-keys-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let keyRing = try KeyRing.open(directory: directory, createIfMissing: true)
    let clock = TestClock(start)
    let pooler = pooled ? try TestPooler.shared(database) : nil
    func open(_ role: String, _ connections: Int) -> Database {
        guard let pooler else { return database.open(role: role, connections: connections) }
        let url = pooler.url(database, role: role)
        return Database(
            Database.Configuration(
                url: url, connections: connections, name: database.name, pooler: true, connectTimeout: .seconds(60), patience: .seconds(30),
                deadline: .seconds(60)), logger: .silent)
    }
    let databases = Databases(
        api: open("gateway_api", connections), engine: open("gateway_engine", connections), cron: open("gateway_cron", 1),
        leases: open("gateway_engine", 1))
    let owner = database.open(connections: 1)
    let hasher = Argon2Hasher(parameters: Argon2Parameters(memoryKiB: 64, passes: 1, lanes: 1))
    let gateway = Gateway(
        databases: databases, keyRing: keyRing, argon2: hasher, webhookURLs: .allowed(by: .public), logger: .silent, now: { clock.now })
    let test = TestGateway(gateway: gateway, clock: clock, database: database, keyRing: keyRing, owner: owner)
    func close() async {
        for database in [databases.api, databases.engine, databases.cron, databases.leases, owner] { await database.close() }
    }
    do {
        let result = try await body(test)
        await close()
        return result
    } catch {
        await close()
        throw error
    }
}

extension TestGateway {
    /// An account with one test sender that is paired and ready, and owned by this process.
    package func makeReadySender(
        account: Account.ID? = nil, label: String = "CS 1", node: String = "node-1"
    ) async throws -> (account: Account.ID, sender: Sender.ID, owner: OwnedSender) {
        let id: Account.ID
        if let account { id = account } else { id = try await gateway.accounts.create(name: "Toko", now: now).id }
        let sender = try await gateway.senders.create(account: id, label: label, test: true, now: now)
        _ = try await gateway.pairing.request(sender: sender.id, account: id, now: now)
        // Leases go by the database's own clock, and a test may stand still for longer than one lasts by default.
        let leased = try await gateway.leases.acquire(node: node, limit: 100, ttl: .seconds(36_000))
        guard let owner = leased.first(where: { $0.owner.sender == sender.id })?.owner else {
            throw TestFailure("the new sender's lease could not be taken")
        }
        let number = try E164(digits: "6281200000001")
        try await gateway.databases.engine.transaction(Databases.accounts([id])) { [gateway, now] transaction in
            try await gateway.senders.paired(owner, number: number, in: transaction, now: now)
        }
        _ = try await gateway.senders.recordState(owner, .ready, now: now)
        gateway.routing.forget(id)
        return (id, sender.id, owner)
    }

    package func message(_ body: String = "Kode Anda 123456", to: String = "+628123456789", reference: String? = nil) throws -> SendMessage {
        try SendMessage(to: to, body: body, reference: reference, metadata: ["k": "v"], now: now)
    }

    /// How many rows a query of ours gives, seen by the superuser.
    package func count(_ sql: SQL) async throws -> Int {
        try await owner.queryOne("test.count", "SELECT count(*) AS n FROM (\(sql)) AS counted", as: { try $0.column("n", as: Int.self) }) ?? 0
    }
}

/// A test's own precondition did not hold.
package struct TestFailure: Error, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}
