import Delivery
import Domain
import Foundation
import Logging
import Postgres
import ServiceLifecycle
import Simulator
import TestSupport
import Testing
import WhatsApp

@testable import Sessions

/// A gateway on real PostgreSQL, a simulator, and engine nodes that are started and stopped by the test. The wall clock stands still, between two
/// whole seconds.
struct GatewayRig: Sendable {
    let test: TestGateway
    let simulator: WhatsAppSimulator
    let account: Account.ID
    let nodes: Nodes

    var gateway: Gateway { test.gateway }

    /// Runs `body`, then stops every node and the simulator.
    static func run(
        duplicates: DuplicateMode = .deduplicate, pooled: Bool = TestPooler.isForced, _ body: (GatewayRig) async throws -> Void
    ) async throws {
        try await withTestGateway(start: Date(timeIntervalSince1970: 1_780_000_000.75), connections: 3, pooled: pooled) { test in
            var configuration = WhatsAppSimulator.Configuration()
            configuration.now = { test.clock.now }
            configuration.duplicates = duplicates
            let simulator = try await WhatsAppSimulator.start(configuration: configuration, logger: .silent)
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let rig = GatewayRig(test: test, simulator: simulator, account: account, nodes: Nodes())
            do {
                try await body(rig)
                await rig.nodes.stopAll()
                await simulator.stop()
            } catch {
                await rig.nodes.stopAll()
                await simulator.stop()
                throw error
            }
        }
    }

    // MARK: Nodes

    /// The node's settings for the simulator.
    var client: WhatsAppConfiguration {
        var client = WhatsAppConfiguration(url: simulator.webSocketURL, rootKey: simulator.rootKey)
        client.firstPreKeys = 20
        client.lateAckGrace = .milliseconds(50)
        return client
    }

    @discardableResult
    func startNode(_ name: String = "node-1", ttl: Duration = .seconds(3), _ configure: (inout WhatsAppConfiguration) -> Void = { _ in }) async
        -> Node
    {
        var client = client
        configure(&client)
        let node = Node(
            name: name, test: test,
            configuration: SenderSessions.Configuration(live: client, test: client, leaseTTL: ttl, limit: 100, loginsPerSecond: 1_000))
        await nodes.add(node)
        return node
    }

    // MARK: Senders

    /// A sender that a running node has paired with the phone of `number` and made ready.
    func pairedSender(_ number: String, account: Account.ID? = nil) async throws -> Sender.ID {
        let account = account ?? self.account
        let sender = try await gateway.senders.create(account: account, label: number, test: true, now: test.now).id
        try await pair(sender, number, account: account)
        return sender
    }

    func pair(_ sender: Sender.ID, _ number: String, account: Account.ID? = nil) async throws {
        let account = account ?? self.account
        test.clock.advance(by: 1)  // two requests never come in the same microsecond
        let asked = try await gateway.pairing.request(sender: sender, account: account, now: test.now)
        try #require(asked != nil)
        let code = try await expect("a pairing code") {
            try await gateway.pairing.current(sender: sender, account: account, now: test.now)?.code?.text
        }
        try simulator.scan(qr: code, number: number)
        try await reach(.ready, sender, account: account)
    }

    /// Waits for a sender's state; nil: until it is gone.
    func reach(_ state: SenderState?, _ sender: Sender.ID, account: Account.ID? = nil) async throws {
        let account = account ?? self.account
        _ = try await expect("sender \(state.map(\.rawValue) ?? "gone")") {
            try await gateway.senders.get(sender, account: account)?.state == state ? true : nil
        }
        gateway.routing.forget(account)
    }

    func linkedDevice(_ number: String) -> SimulatedPhone.Device? {
        simulator.phones.first { $0.number == number }?.linkedDevices.last
    }

    // MARK: Messages

    func send(_ text: String, to number: String, account: Account.ID? = nil, sender: Sender.ID? = nil) async throws -> MessageView {
        let caller = Caller(account: account ?? self.account, isTest: true, allowedSenders: sender.map { [$0] })
        return try await gateway.messages.accept(test.message(text, to: "+" + number), caller: caller, idempotencyKey: nil, now: test.now).message
    }

    @discardableResult
    func reach(_ status: MessageStatus, _ message: MessageView) async throws -> MessageView {
        try await expect("message \(status.rawValue)") {
            guard let view = try await gateway.messages.find(message.id, account: message.account), view.status == status else { return nil }
            return view
        }
    }

    func kinds(_ message: MessageView) async throws -> [MessageEvent.Kind] {
        try await gateway.messages.events(message.id, account: message.account)?.map(\.kind) ?? []
    }

    /// The copies at the recipient's own devices.
    func copies(_ message: MessageView) -> [ReceivedMessage] { simulator.received(id: message.wireID).filter { !$0.isOwnCopy } }

    /// How many rows of a table belong to a sender.
    func rows(of sender: Sender.ID, in tables: [String]) async throws -> Int {
        var sum = 0
        for table in tables { sum += try await test.count("SELECT 1 AS one FROM \(unescaped: table) WHERE sender_id = \(sender)") }
        return sum
    }

    static let deviceTables = ["sender_devices", "signal_sessions", "signal_identities", "prekeys", "pairings"]

    /// Asks until there is an answer; the database offers no event to wait for.
    func expect<Answer>(_ what: String, within limit: Duration = .seconds(120), _ ask: () async throws -> Answer?) async throws -> Answer {
        let end = ContinuousClock.now + limit
        while ContinuousClock.now < end {
            if let answer = try await ask() { return answer }
            try await ContinuousClock().sleep(for: .milliseconds(20))
        }
        throw TestFailure("waited in vain for \(what)")
    }
}

/// One engine process: sessions and delivery in a service group, ended in reverse order.
struct Node: Sendable {
    let name: String
    let sessions: SenderSessions
    let group: ServiceGroup

    init(name: String, test: TestGateway, configuration: SenderSessions.Configuration) {
        self.name = name
        let notifications = Notifications(
            Database.Configuration(url: test.database.url(role: "gateway_engine"), connections: 1, name: name), logger: .silent)
        let now: @Sendable () -> Date = { test.clock.now }
        sessions = SenderSessions(
            gateway: test.gateway, node: name, configuration: configuration, notifications: notifications, now: now, logger: .silent)
        let delivery = DeliveryService(gateway: test.gateway, transport: sessions, notifications: notifications, now: now, logger: .silent)
        group = ServiceGroup(services: [notifications, sessions, delivery], logger: .silent)
    }
}

/// The nodes that run.
actor Nodes {
    private var running: [String: (node: Node, task: Task<Void, any Error>)] = [:]

    func add(_ node: Node) { running[node.name] = (node, Task { try await node.group.run() }) }

    /// As SIGTERM does it.
    func stop(_ name: String) async throws {
        guard let (node, task) = running.removeValue(forKey: name) else { return }
        await node.group.triggerGracefulShutdown()
        try await task.value
    }

    func stopAll() async {
        for name in Array(running.keys) {
            do { try await stop(name) } catch { Issue.record(error) }
        }
    }
}
