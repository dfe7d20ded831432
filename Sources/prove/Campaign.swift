import Foundation
import Logging
import Primitives
import Proof
import Simulator

/// Messages sent over one gateway that is killed again and again, and the reckoning at the end.
struct Campaign {
    let gateway: GatewayProcess
    let simulator: WhatsAppSimulator
    private var generator: SplitMix
    private var key = ""
    /// Nonce → message id and recipient.
    private var sent: [String: (id: String, number: String)] = [:]
    private var killCount = 0

    init(gateway: GatewayProcess, simulator: WhatsAppSimulator, seed: UInt64) {
        self.gateway = gateway
        self.simulator = simulator
        generator = SplitMix(state: seed)
    }

    /// A gateway with its own database, killed at any moment: the server that it leaves behind is taken over by its next start.
    static func run(kills: Int, messages: Int, seed: UInt64) async throws -> Result {
        var logger = Logger(label: "prove")
        logger.logLevel = .error
        let simulator = try await WhatsAppSimulator.start(logger: logger)
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("kill-matrix-\(UUID().uuidString.prefix(8))").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        let watch = try DeathWatch(over: directory)
        let gateway = GatewayProcess(
            binary: World.binary, dataDirectory: directory, port: try LoopbackPort.free(), simulator: simulator.webSocketURL,
            settings: GatewayProcess.shortLeases)
        var campaign = Campaign(gateway: gateway, simulator: simulator, seed: seed)
        do {
            let result = try await campaign.run(kills: kills, messages: messages)
            await gateway.stop()
            await simulator.stop()
            await watch.end()
            if result.isClean { try FileManager.default.removeItem(atPath: directory) } else { print("data and log: \(directory)") }
            return result
        } catch {
            await gateway.kill()
            await simulator.stop()
            await watch.end()
            print("data and log: \(directory)")
            throw error
        }
    }

    private mutating func run(kills: Int, messages: Int) async throws -> Result {
        key = try await gateway.makeTestKey(account: "Kill matrix")
        try await gateway.start()
        for label in ["one", "two"] { _ = try await Pairing(port: gateway.port, key: key, simulator: simulator).pair(label) }

        for point in [.accepted, .prepared, .onWire, .written, .acknowledged, .sent, .delivered, .read] as [Failpoint] { try await killAt(point) }
        try await killAtRandom(kills, messages: messages)
        return try await reckon()
    }

    /// What the recipients saw.
    struct Result {
        var title: String
        var accepted = 0
        var kills = 0
        var shownOnce = 0
        var lost: [String] = []
        var shownTwice: [String] = []
        var unexpected = 0
        var unsettled: [String] = []

        var isClean: Bool { lost.isEmpty && shownTwice.isEmpty && unexpected == 0 && unsettled.isEmpty && shownOnce > 0 }

        var table: String {
            """
            \(title)
              accepted            \(accepted)
              kill -9             \(kills)
              (device, nonce) ok  \(shownOnce)
              lost                \(lost.count) \(lost.prefix(3).joined(separator: " "))
              shown twice         \(shownTwice.count) \(shownTwice.prefix(3).joined(separator: " "))
              unexpected          \(unexpected)
              not settled         \(unsettled.count) \(unsettled.prefix(3).joined(separator: " "))
            """
        }
    }

    // MARK: Steps

    /// One message during which the gateway kills itself right after a state transition; then it starts again.
    private mutating func killAt(_ point: Failpoint) async throws {
        await gateway.stop()
        try await gateway.start(failpoint: point.rawValue)
        await post(retrying: false)
        guard try await gateway.waitForDeath(timeout: .seconds(60)) else { throw ProofFailure("failpoint \(point.rawValue) was never reached") }
        killCount += 1
        try await gateway.start()
        await post(retrying: true)
    }

    private mutating func killAtRandom(_ kills: Int, messages: Int) async throws {
        let perKill = max(1, messages / max(1, kills))
        for _ in 0..<kills {
            for _ in 0..<perKill { await post(retrying: false) }
            try await ContinuousClock().sleep(for: .milliseconds(Int(generator.next() % 250)))
            await gateway.kill()
            killCount += 1
            try await gateway.start()
            await post(retrying: true)
        }
    }

    /// Nonces whose request had no answer: posted again with the same idempotency key once the gateway is back.
    private var unanswered: [(nonce: String, number: String)] = []

    private mutating func post(retrying: Bool) async {
        var pending = unanswered
        unanswered = []
        if !retrying || pending.isEmpty {
            pending.append(
                ("nonce-\(sent.count + pending.count)-\(generator.next() % 1_000_000)", recipient()))
        }
        for (nonce, number) in pending {
            let body: [String: Any] = ["to": "+\(number)", "type": "text", "text": ["body": nonce], "reference": nonce]
            let answer = try? await HTTP.request("POST", gateway.baseURL + "/v1/messages", key: key, idempotencyKey: nonce, body: body, timeout: 5)
            if let answer, answer.status == 202, let id = answer.body["id"] as? String {
                sent[nonce] = (id, number)
            } else {
                unanswered.append((nonce, number))
            }
        }
    }

    /// One of forty who get it, or now and then one who also reads (last digits 0001), so that the last transition happens too.
    private mutating func recipient() -> String {
        generator.next() % 3 == 0 ? "628110020001" : "6281\(10_000_000 + generator.next() % 40 * 17 + 10)"
    }

    private mutating func reckon() async throws -> Result {
        for _ in 0..<20 where !unanswered.isEmpty { await post(retrying: true) }
        var open = Set(sent.values.map(\.id))
        var result = Result(title: "seeded kill -9 of one gateway with its own database")
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: .seconds(180))
        while !open.isEmpty && clock.now < end {
            for id in open {
                let answer = try await call("GET", "/v1/messages/\(id)")
                if let status = answer.body["status"] as? String, ["delivered", "read", "failed", "expired", "unconfirmed"].contains(status) {
                    open.remove(id)
                    if status == "failed" || status == "expired" { result.unsettled.append("\(id)=\(status)") }
                }
            }
            try await clock.sleep(for: .milliseconds(200))
        }
        result.unsettled += open.sorted()
        result.accepted = sent.count
        result.kills = killCount

        // (device, nonce) → how often it was shown, over all ids and senders.
        var shown: [String: Int] = [:]
        for message in simulator.received(limit: 400_000) where !message.isOwnCopy {
            guard let nonce = message.text, let (_, number) = sent[nonce] else {
                if message.shown > 0 { result.unexpected += 1 }
                continue
            }
            if message.number != number { result.unexpected += 1 }
            shown["\(message.device) \(nonce)", default: 0] += message.shown
        }
        for (nonce, (_, number)) in sent.sorted(by: { $0.key < $1.key }) {
            // Every device that the number has, not only those that something reached.
            let expected = try simulator.addRecipient(number).devices
            for device in expected {
                switch shown["\(device) \(nonce)", default: 0] {
                case 0: result.lost.append("\(device) \(nonce)")
                case 1: result.shownOnce += 1
                default: result.shownTwice.append("\(device) \(nonce)")
                }
            }
        }
        return result
    }

    private func call(_ method: String, _ path: String, body: [String: Any]? = nil) async throws -> HTTP.Answer {
        try await HTTP.request(method, gateway.baseURL + path, key: key, body: body)
    }
}

/// A small seeded generator (SplitMix64), so that a run can be repeated.
struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
