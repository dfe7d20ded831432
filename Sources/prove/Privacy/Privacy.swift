import ArgumentParser
import Domain
import Foundation
import Logging
import Postgres
import Proof
import Simulator

/// `prove privacy`: a real gateway sends and refuses messages at log level debug; then every byte it wrote is searched for what it was told.
///
/// The needles are the texts, numbers, references, metadata, labels, idempotency keys and API keys of the run, the canaries of refused
/// requests, and every private key, opened with the run's own key files. Those files alone lie outside of the searched data directory. Two
/// searches: after the traffic, and after the account was closed. Nothing hides from them by compression: the cluster writes its log
/// uncompressed and keeps all of it, and rows this short are never compressed.
struct Privacy: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "privacy", abstract: "Data directory, WAL and logs of a run searched for what they must not hold.")

    @Flag(help: "Leave the data directory in place.")
    var keep = false

    func run() async throws {
        var logger = Logger(label: "prove")
        logger.logLevel = .error
        let home = FileManager.default.temporaryDirectory.appendingPathComponent("privacy-\(UUID().uuidString.prefix(8))").path
        let place = Place(data: home + "/data", keys: home + "/keys")
        for path in [home, place.data, place.data + "/tmp"] {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        }
        let simulator = try await WhatsAppSimulator.start(logger: logger)
        let binary = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appendingPathComponent("gateway").path
        let gateway = GatewayProcess(
            binary: binary, dataDirectory: place.data, port: try LoopbackPort.free(), simulator: simulator.webSocketURL,
            settings: GatewayProcess.shortLeases.merging([
                "GATEWAY_LOG_LEVEL": "debug", "GATEWAY_SECRETS_KEY_DIRECTORY": place.keys, "GATEWAY_WHATSAPP_INITIAL_PREKEYS": "100",
                "TMPDIR": place.data + "/tmp",
            ]) { $1 })
        let isClean: Bool
        do {
            isClean = try await prove(gateway, simulator, place, logger)
        } catch {
            await gateway.kill()
            await simulator.stop()
            print("data and log: \(home)")
            throw error
        }
        await simulator.stop()
        if keep || !isClean { print("data and log: \(home)") } else { try FileManager.default.removeItem(atPath: home) }
        guard isClean else { throw ExitCode.failure }
    }

    private struct Place {
        var data: String
        var keys: String
    }

    private func prove(_ gateway: GatewayProcess, _ simulator: WhatsAppSimulator, _ place: Place, _ logger: Logger) async throws -> Bool {
        // The gateway makes the cluster; this process then holds it, so that it runs with these settings until the end.
        _ = try await gateway.verb(["migrate"])
        let cluster = try await EmbeddedCluster.open(
            directory: place.data, logger: logger, settings: ["wal_compression": "off", "wal_keep_size": "4GB", "autovacuum": "off"])
        let database = Database(Database.Configuration(url: cluster.connectionString(), connections: 1, name: "prove"), logger: logger)
        do {
            var control = PlantedControl()
            try await control.plant(in: place.data, database)
            var traffic = PrivacyTraffic(gateway: gateway, simulator: simulator)
            try await traffic.run()
            let account = try Account.ID(traffic.account)
            let secrets = try await RunSecrets(database: database, keyDirectory: place.keys).needles(account: account)

            try await database.executeOutsideTransaction("prove.checkpoint", "CHECKPOINT")
            await gateway.stop()
            let search = NeedleSearch(control.needles + traffic.needles + secrets)
            printHead(search, traffic, simulator)
            let live = try await search.search(place.data)
            let liveIsClean = judge("after the traffic", live, search, control)

            try await gateway.start()
            try await close(account, gateway, key: traffic.key)
            try await database.executeOutsideTransaction("prove.checkpoint", "CHECKPOINT")
            await gateway.stop()
            await database.close()
            try await cluster.stop()
            let closed = try await search.search(place.data)
            let closedIsClean = judge("after account close", closed, search, control)
            return liveIsClean && closedIsClean && traffic.isReal
        } catch {
            await gateway.kill()
            await database.close()
            try await cluster.stop()
            throw error
        }
    }

    private func close(_ account: Account.ID, _ gateway: GatewayProcess, key: String) async throws {
        let answer = try await HTTP.request(
            "POST", gateway.baseURL + "/v1/account/close", key: key, body: ["confirm": account.description], timeout: 120)
        guard answer.status == 200 else { throw Stuck(description: "closing gave \(answer.status)") }
        guard try await HTTP.request("GET", gateway.baseURL + "/v1/messages", key: key).status == 401 else {
            throw Stuck(description: "the closed account's key still works")
        }
    }

    // MARK: The table

    private func printHead(_ search: NeedleSearch, _ traffic: PrivacyTraffic, _ simulator: WhatsAppSimulator) {
        let kinds = Needle.Kind.allCases.compactMap { kind in
            let count = search.needles.count { $0.kind == kind }
            return count == 0 ? nil : "\(count) \(kind.rawValue)"
        }
        let states = traffic.ended.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
        print(
            """
            privacy
              needles     \(search.needles.count): \(kinds.joined(separator: ", "))
              encodings   \(NeedleEncoding.allCases.count), \(search.patternCount) patterns: \(NeedleEncoding.allCases.map(\.rawValue).joined(separator: ", "))
              traffic     \(traffic.accepted) messages accepted (\(states.joined(separator: ", "))), \(traffic.readAtRecipients) texts read at their \
            recipients, \(simulator.counters.retryRequests) retries asked for, \(traffic.refused) requests refused
            """)
        if !traffic.isReal { print("  NOT PROVEN  too little of it happened") }
    }

    private func judge(_ title: String, _ report: NeedleSearch.Report, _ search: NeedleSearch, _ control: PlantedControl) -> Bool {
        let findings = control.findings(report)
        let leaks = report.hits.filter { !control.isPlanted($0.key) }.sorted { ($0.key.file, $0.key.needle) < ($1.key.file, $1.key.needle) }
        print(
            """
            \(title)
              searched    \(report.files) files, \(report.bytes) bytes
              control     \(findings.map { "\($0.found ? "found" : "NOT FOUND") in \($0.place)" }.joined(separator: "; "))
              other hits  \(leaks.count)
            """)
        for (hit, count) in leaks.prefix(50) {
            let needle = search.needles[hit.needle]
            print("    \(hit.file)  \(needle.kind.rawValue): \(needle.name)  \(hit.encoding.rawValue)  \(count)×")
        }
        return leaks.isEmpty && findings.allSatisfy(\.found)
    }
}

extension PrivacyTraffic {
    /// Whether enough happened for an empty search to mean something.
    var isReal: Bool { accepted >= 20 && readAtRecipients >= 12 && refused >= 15 && simulator.counters.retryRequests > 0 && (ended["read"] ?? 0) > 0 }
}
