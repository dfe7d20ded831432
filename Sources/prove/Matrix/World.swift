import Domain
import Foundation
import Glibc
import Logging
import Postgres
import Proof
import Simulator
import Synchronization

/// One database, one simulator, some gateways on them, and an account with paired senders: where the cells of a matrix happen.
///
///     try await World.with(nodes: 3) { world in … }
final class World: Sendable {
    struct Plan: Sendable {
        var nodes = 1
        var senders = 2
        /// A deliberate mistake of the gateways.
        var sabotage: SabotageCase?
        /// Further settings of the gateways, and lines of postgresql.conf.
        var settings: [String: String] = [:]
        var databaseSettings: [String: String] = [:]
        /// Whether leases end after 3 s; else after the default.
        var hasShortLeases = true
        /// Nil: the one that was built with this program.
        var binary: String?
        /// How the gateways reach the database.
        var front = DatabaseFront.Kind.socket
        /// The database has a small disk of its own, of so many MiB.
        var databaseDisk: Int?
    }

    let plan: Plan
    let directory: String
    let database: SharedDatabase
    /// What stands between gateways and database.
    let front: DatabaseFront
    let simulator: WhatsAppSimulator
    let nodes: [GatewayProcess]
    /// A test key of the account.
    let key: String
    let accountID: String
    /// Every message that was posted here.
    let ledger = Ledger()
    /// Every answer of the API, by status; 0: none.
    let answers = Tally()
    /// Every try to get one.
    let tries = Tries()
    private let serial = Mutex(0)
    private let spares = Mutex<[String]>([])
    /// The senders that were paired at the beginning.
    let senders: [String]

    /// The gateway that was built with this program.
    static let binary = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appendingPathComponent("gateway").path

    /// Makes a world, runs `body` in it, and ends all its processes. Its folder stays when `body` throws or says that something was wrong.
    static func with<Result: Sendable>(_ plan: Plan, _ body: (World) async throws -> (result: Result, isClean: Bool)) async throws -> Result {
        let directory = "/tmp/prove-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        let watch = try DeathWatch(over: directory)
        var logger = Logger(label: "prove")
        logger.logLevel = .critical
        let simulator = try await WhatsAppSimulator.start(logger: logger)
        let database: SharedDatabase
        let front: DatabaseFront
        let disk = plan.databaseDisk.map { SmallDisk(at: directory + "/db", mebibytes: $0) }
        do {
            try await disk?.mount()
            // Two nodes more than usual may be there for a moment, each with some twenty connections.
            let settings = ["max_connections": "200"].merging(plan.databaseSettings) { $1 }
            database = try await SharedDatabase.open(directory: directory + "/db", settings: settings, logger: logger)
            front = try await DatabaseFront.open(plan.front, to: database, directory: directory)
        } catch {
            await simulator.stop()
            await disk?.unmount()
            await watch.end()
            throw error
        }
        var nodes: [GatewayProcess] = []
        do {
            let settings = try settings(plan, directory, front)
            nodes = try (0..<plan.nodes).map { number in
                let home = "\(directory)/node-\(number)"
                try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
                return GatewayProcess(
                    binary: plan.binary ?? binary, dataDirectory: home, port: try LoopbackPort.free(), simulator: simulator.webSocketURL,
                    settings: settings)
            }
            let world = try await World(plan, directory, database, front, simulator, nodes)
            let (result, isClean) = try await body(world)
            await end(nodes, database, front, simulator)
            await disk?.unmount()
            await watch.end()
            if isClean { try FileManager.default.removeItem(atPath: directory) } else { say("data and logs: \(directory)") }
            return result
        } catch {
            await end(nodes, database, front, simulator)
            await disk?.unmount()
            await watch.end()
            say("data and logs: \(directory)")
            throw error
        }
    }

    static func settings(_ plan: Plan, _ directory: String, _ front: DatabaseFront) throws -> [String: String] {
        var settings = front.gatewaySettings
        settings["GATEWAY_SECRETS_KEY_DIRECTORY"] = directory + "/keys"
        settings["GATEWAY_DELIVERY_LOGINS_PER_SECOND"] = "100"
        settings["GATEWAY_WHATSAPP_INITIAL_PREKEYS"] = "20"
        settings["FAILPOINT_FILE"] = directory + "/failpoint"
        if plan.hasShortLeases {
            settings.merge(GatewayProcess.shortLeases) { $1 }
            settings["GATEWAY_DELIVERY_ACK_TIMEOUT_SECONDS"] = "8"
        }
        settings.merge(try plan.sabotage?.environment(in: directory) ?? [:]) { $1 }
        settings.merge(plan.settings) { $1 }
        return settings
    }

    private static func end(
        _ nodes: [GatewayProcess], _ database: SharedDatabase, _ front: DatabaseFront, _ simulator: WhatsAppSimulator
    ) async {
        for node in nodes { node.signal(SIGCONT) }
        await withTaskGroup(of: Void.self) { group in
            for node in nodes { group.addTask { await node.kill() } }
        }
        await front.stop()
        do { try await database.close() } catch { say("PostgreSQL was not stopped: \(error)") }
        await simulator.stop()
    }

    private init(
        _ plan: Plan, _ directory: String, _ database: SharedDatabase, _ front: DatabaseFront, _ simulator: WhatsAppSimulator,
        _ nodes: [GatewayProcess]
    ) async throws {
        self.plan = plan
        self.directory = directory
        self.database = database
        self.front = front
        self.simulator = simulator
        self.nodes = nodes
        guard let account = try await nodes[0].verb(["account", "create", "Proof"])["id"] as? String else {
            throw ProofFailure("the account has no id")
        }
        accountID = account
        key = try await Self.makeKey(nodes[0], account, test: true)
        try await Audit.install(in: database.admin)
        for node in nodes { try await node.start() }
        let port = nodes[0].port
        senders = try await Pairing(port: port, key: key, simulator: simulator).pair(plan.senders)
    }

    static func makeKey(_ node: GatewayProcess, _ account: String, test: Bool) async throws -> String {
        let made = try await node.verb(["key", "create", "--account", account, "--label", "proof"] + (test ? ["--test"] : []))
        guard let key = made["secret"] as? String else { throw ProofFailure("the key has no secret") }
        return key
    }

    // MARK: Nodes

    /// Starts every node that does not run, one after the other.
    func startAll() async throws {
        for node in nodes where node.processID == nil { try await node.start() }
    }

    func node(withProcess process: Int32) -> GatewayProcess? { nodes.first { $0.processID == process } }

    // MARK: Failpoints

    private var failpointFile: String { directory + "/failpoint" }

    /// Whoever reaches the place first obeys, once.
    func arm(_ order: String) throws {
        disarm()
        // The number makes it another order than the last one of the same words.
        let draft = failpointFile + "-draft"
        try "\(order)#\(next())".write(toFile: draft, atomically: false, encoding: .utf8)
        guard rename(draft, failpointFile) == 0 else { throw ProofFailure("cannot arm a failpoint") }
    }

    func disarm() {
        unlink(failpointFile)
        for process in obeyed() { unlink("\(failpointFile).\(process)") }
    }

    /// The process that obeyed; nil: nobody did within `limit`.
    func waitForHit(within limit: Duration) async throws -> Int32? {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: limit)
        while clock.now < end {
            if let process = obeyed().first { return process }
            try await clock.sleep(for: .milliseconds(10))
        }
        return nil
    }

    var isHit: Bool { !obeyed().isEmpty }

    private func obeyed() -> [Int32] {
        let prefix = "failpoint."
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.filter { $0.hasPrefix(prefix) }.compactMap { Int32($0.dropFirst(prefix.count)) }
    }

    // MARK: Names and numbers

    func next() -> Int {
        serial.withLock { serial in
            serial += 1
            return serial
        }
    }

    /// One of thirty who get what is sent to them.
    func anyRecipient() -> String { "62811000\(1_000 + next() % 30)" }

    /// A number of its own that ends in these four digits, which say how it behaves (`RecipientBehaviour`).
    func recipient(endingIn digits: String) -> String { "62812\(10_000 + next())\(digits)" }

    // MARK: Senders

    /// Pairs one more sender and returns its id when it is ready.
    func pair(key other: String? = nil) async throws -> String {
        let port = nodes.first { $0.processID != nil }?.port ?? nodes[0].port
        return try await Pairing(port: port, key: other ?? key, simulator: simulator).pair("Sender \(next())")
    }

    /// A paired sender that nobody else counts on.
    func takeSpareSender() async throws -> String {
        if let spare = spares.withLock({ $0.popLast() }) { return spare }
        return try await pair()
    }

    func giveSpareSender(_ id: String) { spares.withLock { $0.append(id) } }
}

extension Mutex<[String]> {
    func append(_ text: String) { withLock { $0.append(text) } }
}
