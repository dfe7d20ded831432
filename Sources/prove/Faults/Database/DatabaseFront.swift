import Foundation
import Glibc
import Proof

/// How the gateways of a world reach its database.
final class DatabaseFront: Sendable {
    enum Kind: Sendable {
        /// By the server's own socket.
        case socket
        /// Through a proxy that can make the line bad; hints come through one of their own.
        case proxy
        /// Through two proxies, as `host=A,B target_session_attrs=read-write`. The second leads nowhere yet.
        case pair
        /// Through a pgbouncer in transaction mode with fewer connections to the server than its clients want.
        case pooler
    }

    let gatewaySettings: [String: String]
    private let proxies: [FaultProxy]
    private let pooler: ChildProcess?

    static func open(_ kind: Kind, to database: SharedDatabase, directory: String) async throws -> DatabaseFront {
        switch kind {
        case .socket: return DatabaseFront(settings { database.address($0) })
        case .proxy:
            let proxies = [try await FaultProxy.start(to: .socket(database.socket)), try await FaultProxy.start(to: .socket(database.socket))]
            var settings = settings { address($0, ports: [proxies[0].port]) }
            settings["GATEWAY_DATABASE_LISTEN_URL"] = address("gateway_engine", ports: [proxies[1].port])
            return DatabaseFront(settings, proxies)
        case .pair:
            let proxies = [try await FaultProxy.start(to: .socket(database.socket)), try await FaultProxy.start(to: .socket("/nowhere"))]
            proxies[1].set(.closed)
            return DatabaseFront(settings { address($0, ports: proxies.map(\.port)) + " target_session_attrs=read-write" }, proxies)
        case .pooler:
            let (pooler, port) = try startPooler(to: database, directory: directory)
            var settings = settings { address($0, ports: [port]) }
            settings["GATEWAY_DATABASE_POOLER"] = "true"
            settings["GATEWAY_DATABASE_MIGRATOR_URL"] = database.address("gateway_owner")
            settings["GATEWAY_DATABASE_LISTEN_URL"] = database.address("gateway_engine")
            return DatabaseFront(settings, pooler: pooler)
        }
    }

    private init(_ settings: [String: String], _ proxies: [FaultProxy] = [], pooler: ChildProcess? = nil) {
        gatewaySettings = settings
        self.proxies = proxies
        self.pooler = pooler
    }

    /// The proxy in front of everything but the hints.
    var line: FaultProxy {
        get throws { try proxy(0) }
    }
    /// The proxy in front of the hints; of a pair, the second.
    var other: FaultProxy {
        get throws { try proxy(1) }
    }

    private func proxy(_ index: Int) throws -> FaultProxy {
        guard index < proxies.count else { throw ProofFailure("there is no proxy") }
        return proxies[index]
    }

    func stop() async {
        for proxy in proxies { await proxy.stop() }
        await pooler?.stop()
    }

    private static func settings(_ address: (String) -> String) -> [String: String] {
        [
            "GATEWAY_DATABASE_URL": address("gateway_api"), "GATEWAY_DATABASE_ENGINE_URL": address("gateway_engine"),
            "GATEWAY_DATABASE_CRON_URL": address("gateway_cron"), "GATEWAY_DATABASE_MIGRATOR_URL": address("gateway_owner"),
        ]
    }

    /// Where a login connects by these ports of this machine.
    static func address(_ role: String, ports: [Int]) -> String {
        let hosts = ports.map { _ in "127.0.0.1" }.joined(separator: ",")
        return "host=\(hosts) port=\(ports.map(String.init).joined(separator: ",")) user=\(role) dbname=postgres sslmode=disable gssencmode=disable"
    }

    /// Where a login connects through the front.
    func address(_ role: String) -> String {
        gatewaySettings.values.first { $0.contains("user=\(role) ") || $0.contains("user='\(role)'") } ?? ""
    }

    private static func startPooler(to database: SharedDatabase, directory: String) throws -> (ChildProcess, Int) {
        let folder = directory + "/pooler"
        let port = try LoopbackPort.free()
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let roles = ["gateway_api", "gateway_engine", "gateway_cron", "gateway_owner"]
        try roles.map { "\"\($0)\" \"\"\n" }.joined().write(toFile: folder + "/users", atomically: true, encoding: .utf8)
        try """
        [databases]
        * = host=\(URL(fileURLWithPath: database.socket).deletingLastPathComponent().path)
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = \(port)
        unix_socket_dir =
        auth_type = trust
        auth_file = \(folder)/users
        pool_mode = transaction
        default_pool_size = 3
        max_client_conn = 2000
        server_idle_timeout = 2
        server_login_retry = 1
        logfile = \(folder)/log
        """.write(toFile: folder + "/pgbouncer.ini", atomically: true, encoding: .utf8)
        let programs = try PostgresPrograms.find()
        for name in ["", "/users", "/pgbouncer.ini"] { try programs.own(folder + name) }
        let command = programs.prefix + [try find("pgbouncer"), "--quiet", folder + "/pgbouncer.ini"]
        return (try ChildProcess(command[0], Array(command.dropFirst()), output: directory + "/pooler.log"), port)
    }

    private static func find(_ program: String) throws -> String {
        let paths: [String] = ["/usr/bin", "/usr/sbin", "/usr/local/bin"].map { "\($0)/\(program)" }
        guard let path = paths.first(where: { access($0, X_OK) == 0 }) else {
            throw ProofFailure("\(program) is not installed; Scripts/bootstrap installs it")
        }
        return path
    }
}
