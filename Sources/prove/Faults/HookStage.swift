import Domain
import Foundation
import Postgres
import Primitives
import Proof
import Synchronization

/// Receivers of webhooks in a world of gateways, and what they got.
final class HookStage: Sendable {
    /// One arrival.
    struct Arrival: Sendable {
        var request: HookRequest
        var at: ContinuousClock.Instant
    }

    /// What a gateway needs so that its webhooks may come here.
    static let settings = ["GATEWAY_WEBHOOKS_ALLOW_HTTP": "true", "GATEWAY_WEBHOOKS_ALLOW_NETWORKS": "127.0.0.1/32"]

    let world: World
    private let arrivals = Mutex<[String: [Arrival]]>([:])
    private let behaviours = Mutex<[String: @Sendable (HookRequest) -> HookAnswer]>([:])
    private let receiver = Mutex<HookReceiver?>(nil)

    /// Runs `body` with one receiver; each endpoint has a path of its own there.
    static func with<Result: Sendable>(_ world: World, _ body: (HookStage) async throws -> Result) async throws -> Result {
        let stage = HookStage(world)
        let receiver = try await HookReceiver.start { stage.answer($0) }
        stage.receiver.withLock { $0 = receiver }
        do {
            let result = try await body(stage)
            await receiver.stop()
            return result
        } catch {
            await receiver.stop()
            throw error
        }
    }

    private init(_ world: World) { self.world = world }

    var url: String { receiver.withLock { $0?.url } ?? "" }

    /// How the receiver behaves at this path from now on.
    func behave(_ path: String, _ answer: @escaping @Sendable (HookRequest) -> HookAnswer) { behaviours.withLock { $0[path] = answer } }

    /// What has come to this path, without verifications.
    func got(_ path: String) -> [Arrival] { arrivals.withLock { $0[path, default: []] } }

    private func answer(_ request: HookRequest) -> HookAnswer {
        if let challenge = Self.challenge(request) { return .status(200, body: Array(challenge.utf8)) }
        arrivals.withLock { $0[request.path, default: []].append(Arrival(request: request, at: .now)) }
        return behaviours.withLock { $0[request.path] }?(request) ?? .status(204)
    }

    private static func challenge(_ request: HookRequest) -> String? {
        let json = (try? JSONSerialization.jsonObject(with: Data(request.body))) as? [String: Any]
        guard json?["type"] as? String == "webhook_endpoint.verification" else { return nil }
        return (json?["data"] as? [String: Any])?["challenge"] as? String
    }

    // MARK: Through the API

    @discardableResult
    func call(_ method: String, _ path: String, _ body: [String: Any]? = nil) async throws -> HTTP.Answer {
        let node = world.nodes.first { $0.processID != nil } ?? world.nodes[0]
        return try await HTTP.request(method, node.baseURL + path, key: world.key, body: body)
    }

    /// An endpoint that is enabled: its id and its secret.
    func addEndpoint(_ path: String, events: [String] = ["*"]) async throws -> (id: String, secret: String) {
        let made = try await call("POST", "/v1/webhook-endpoints", ["url": url + path, "events": events])
        guard made.status == 201, let id = made.body["id"] as? String, let secret = made.body["secret"] as? String else {
            throw ProofFailure("no endpoint was made: \(made.status)")
        }
        try await wait("the endpoint to be enabled") { try await self.status(id) == "enabled" }
        return (id, secret)
    }

    func status(_ id: String) async throws -> String { try await call("GET", "/v1/webhook-endpoints/\(id)").body["status"] as? String ?? "" }

    func deliveries(_ id: String) async throws -> [[String: Any]] {
        try await call("GET", "/v1/webhook-endpoints/\(id)/deliveries?limit=200").body["data"] as? [[String: Any]] ?? []
    }

    /// An event of the account that no message is needed for, of a type that does not happen here by itself. Its id.
    @discardableResult
    func publish(_ type: String = "sender.parked") async throws -> String {
        let account = try Account.ID(text: world.accountID)
        let event = Event.ID.make(at: Date(), random: SystemRandom())
        _ = try await world.database.admin.query(
            "proof.publish", "SELECT gateway_publish(\(account), \(event), \(type), true, NULL, NULL, NULL, clock_timestamp())", as: { _ in })
        return event.description
    }

    func wait(_ what: String, for limit: Duration = .seconds(90), until isTrue: () async throws -> Bool) async throws {
        let end = ContinuousClock.now + limit
        while try await !isTrue() {
            guard ContinuousClock.now < end else { throw ProofFailure("waited \(limit) in vain for \(what)") }
            try await ContinuousClock().sleep(for: .milliseconds(50))
        }
    }
}
