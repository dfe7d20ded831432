import Foundation
import Glibc
import NIOHTTP1
import Primitives
import Proof
import Simulator

extension ProcessFault {
    /// What an operator can do to a gateway: start it without its keys, and let nobody read its log.
    static let operations: [ProcessFault] = [
        ProcessFault(
            name: "F103", injected: "started without its key files, then with another gateway's, then with one that others may read",
            expected: "it refuses to start and writes nothing; with its own keys it serves again"
        ) { try await withLoneGateway(KeyTrial.run) },
        ProcessFault(
            name: "F104", injected: "standard error is a FIFO that nobody reads, log level debug, 4,000 messages posted",
            expected: "every request is answered as fast as before; lines are dropped and counted"
        ) { try await withLoneGateway(LogTrial.run) },
    ]

    private static func withLoneGateway(_ body: (GatewayProcess, WhatsAppSimulator) async throws -> Seen) async throws -> Seen {
        let simulator = try await WhatsAppSimulator.start(logger: .init(label: "prove"))
        let directory = "/tmp/prove-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        let gateway = GatewayProcess(
            binary: World.binary, dataDirectory: directory, port: try LoopbackPort.free(), simulator: simulator.webSocketURL,
            settings: GatewayProcess.shortLeases)
        do {
            let seen = try await body(gateway, simulator)
            await gateway.stop()
            await simulator.stop()
            if seen.isOK { try FileManager.default.removeItem(atPath: directory) } else { say("data and log: \(directory)") }
            return seen
        } catch {
            await gateway.stop()
            await simulator.stop()
            say("data and log: \(directory)")
            throw error
        }
    }
}

/// F103.
private enum KeyTrial {
    static func run(_ gateway: GatewayProcess, _ simulator: WhatsAppSimulator) async throws -> ProcessFault.Seen {
        let files = FileManager.default
        let keys = gateway.dataDirectory + "/keys"
        let away = gateway.dataDirectory + "/away"
        _ = try await gateway.makeTestKey(account: "Keys")
        let before = try await accounts(gateway)
        var wrong: [String] = []
        func refuses(_ name: String) async {
            let names = (try? files.contentsOfDirectory(atPath: keys))?.sorted()
            do {
                try await gateway.start()
                wrong.append("\(name): it started")
                await gateway.stop()
            } catch {}
            if (try? files.contentsOfDirectory(atPath: keys))?.sorted() != names { wrong.append("\(name): key files changed") }
            if (try? await accounts(gateway)) != nil { wrong.append("\(name): a verb got in") }
        }
        try files.moveItem(atPath: keys, toPath: away)
        await refuses("no keys")

        try files.createDirectory(atPath: keys, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        for name in try files.contentsOfDirectory(atPath: away) {
            files.createFile(atPath: keys + "/" + name, contents: Data(SystemRandom().bytes(32)), attributes: [.posixPermissions: 0o600])
        }
        await refuses("other keys")

        try files.removeItem(atPath: keys)
        try files.moveItem(atPath: away, toPath: keys)
        try files.setAttributes([.posixPermissions: 0o644], ofItemAtPath: keys + "/kek-000001")
        await refuses("keys that others may read")

        try files.setAttributes([.posixPermissions: 0o600], ofItemAtPath: keys + "/kek-000001")
        try await gateway.start()
        let after = try await accounts(gateway)
        if after != before { wrong.append("accounts changed") }
        return ProcessFault.Seen(
            isOK: wrong.isEmpty,
            what: wrong.isEmpty ? "refused 3 times, \(after.count) account as before, serves again" : wrong.joined(separator: "; "))
    }

    private static func accounts(_ gateway: GatewayProcess) async throws -> [String] {
        let list = try await gateway.verb(["account", "list"])["data"] as? [[String: Any]] ?? []
        return list.compactMap { $0["id"] as? String }
    }
}

/// F104.
private enum LogTrial {
    private static let requests = 4_000

    static func run(_ gateway: GatewayProcess, _ simulator: WhatsAppSimulator) async throws -> ProcessFault.Seen {
        let key = try await gateway.makeTestKey(account: "Log")
        let metrics = try LoopbackPort.free()
        let settings = ["GATEWAY_LOG_LEVEL": "debug", "GATEWAY_LOG_FORMAT": "json", "GATEWAY_SERVER_METRICS_LISTEN": "127.0.0.1:\(metrics)"]
        try await gateway.start(environment: settings)
        _ = try await Pairing(port: gateway.port, key: key, simulator: simulator).pair("one")
        let usual = try await post(gateway, key)
        await gateway.stop()

        // Both ends are ours, so that the gateway can open it; we do not read.
        let path = gateway.dataDirectory + "/log.fifo"
        guard mkfifo(path, 0o600) == 0 else { throw ProofFailure("no FIFO") }
        let fifo = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)
        guard fifo >= 0 else { throw ProofFailure("the FIFO cannot be opened") }
        defer { close(fifo) }
        try await gateway.start(output: path, environment: settings)
        let blocked = try await post(gateway, key)
        let dropped = try await value("gateway_log_lines_dropped_total", port: metrics)

        // Once somebody reads, it says so itself.
        var isTold = false
        for _ in 0..<200 where !isTold {
            isTold = read(fifo).contains("log lines dropped")
            _ = try await HTTP.request("GET", gateway.baseURL + "/v1/messages", key: key)
        }
        let isQuick = blocked.middle < usual.middle * 3 + .milliseconds(20) && blocked.last < .seconds(5)
        return ProcessFault.Seen(
            isOK: usual.accepted == requests && blocked.accepted == requests && isQuick && dropped > 0 && isTold,
            what: "accepted \(blocked.accepted) of \(requests); p50 \(usual.middle) → \(blocked.middle), slowest \(usual.last) → \(blocked.last); "
                + "dropped \(Int(dropped)) lines, \(isTold ? "and said so" : "and never said so")")
    }

    private struct Posted {
        var accepted = 0
        var middle: Duration
        var last: Duration
    }

    private static func post(_ gateway: GatewayProcess, _ key: String) async throws -> Posted {
        try await HTTPConnection.with(port: gateway.port, key: key) { connection in
            let clock = ContinuousClock()
            var times: [Duration] = []
            var accepted = 0
            for number in 0..<requests {
                let start = clock.now
                let answer = try await connection.send(
                    .POST, "/v1/messages", json: #"{"to": "+62812\#(10_000 + number)1234", "type": "text", "text": {"body": "log \#(number)"}}"#)
                times.append(start.duration(to: clock.now))
                if answer.status == 202 { accepted += 1 }
            }
            times.sort()
            return Posted(accepted: accepted, middle: times[times.count / 2], last: times[times.count - 1])
        }
    }

    private static func value(_ metric: String, port: Int) async throws -> Double {
        let answer = try await HTTPConnection.with(port: port) { try await $0.send(.GET, "/metrics") }
        let text = String(decoding: answer.body.readableBytesView, as: UTF8.self)
        return text.split(separator: "\n").first { $0.hasPrefix(metric + " ") }.flatMap { Double($0.dropFirst(metric.count + 1)) } ?? -1
    }

    /// What is there now.
    private static func read(_ descriptor: Int32) -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer.prefix(count)
        }
    }
}
