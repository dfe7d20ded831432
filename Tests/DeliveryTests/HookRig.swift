import Delivery
@testable import Domain
import Foundation
import OutboundHTTP
import Postgres
import Primitives
import Proof
import Synchronization
import TestSupport

/// A gateway whose webhooks may go to loopback, an account, and the client that sends them.
struct HookRig: Sendable {
    let test: TestGateway
    /// As `test.gateway`, but loopback may be an endpoint.
    let gateway: Gateway
    let http: HTTPClient
    let account: Account.ID

    func dispatcher(perEndpoint: Int = 8, deadline: Duration = .seconds(600), claimLength: TimeInterval = WebhookDispatcher.claimLength)
        -> WebhookDispatcher
    {
        WebhookDispatcher(
            gateway: gateway, http: http, perEndpoint: perEndpoint, deadline: deadline, claimLength: claimLength, now: { test.now }, logger: .silent)
    }

    /// An endpoint that has answered its challenge, over HTTP.
    func addEndpoint(
        _ url: String, _ account: Account.ID? = nil, signing: WebhookSecret.Signing = .symmetric
    ) async throws -> (id: WebhookEndpoint.ID, secret: String?) {
        let account = account ?? self.account
        let made = try await gateway.webhooks.create(account: account, EndpointFields(url: url), signing: signing, test: true, now: test.now)
        guard let made else { throw TestFailure("not made") }
        _ = await dispatcher().runOnce()
        guard try await gateway.webhooks.get(made.endpoint.id, account: account)?.state == .enabled else { throw TestFailure("it is not enabled") }
        return (made.endpoint.id, made.secret)
    }

    @discardableResult
    func publish(_ account: Account.ID? = nil) async throws -> Event.ID {
        let event = Event.ID.make(at: test.now, random: SystemRandom())
        _ = try await test.owner.query(
            "test.publish", "SELECT gateway_publish(\(account ?? self.account), \(event), 'sender.ready', true, NULL, NULL, NULL, \(test.now))",
            as: { _ in })
        return event
    }

    func delivery(_ event: Event.ID, at endpoint: WebhookEndpoint.ID) async throws -> WebhookDelivery? {
        try await gateway.webhooks.deliveries(endpoint, account: account, page: PageRequest(limit: 200), now: test.now).data.first {
            $0.event == event
        }
    }
}

/// What receivers got, in their order, and how they are to behave. Verifications are answered as they should be.
final class HookBook: Sendable {
    private let requests = Mutex<[HookRequest]>([])
    private let behaviour: Mutex<@Sendable (HookRequest) -> HookAnswer>
    private let arrivals: AsyncStream<HookRequest>
    private let arrival: AsyncStream<HookRequest>.Continuation

    init(_ behaviour: @escaping @Sendable (HookRequest) -> HookAnswer = { _ in .status(204) }) {
        self.behaviour = Mutex(behaviour)
        (arrivals, arrival) = AsyncStream.makeStream()
    }

    var all: [HookRequest] { requests.withLock { $0 } }

    func behave(_ behaviour: @escaping @Sendable (HookRequest) -> HookAnswer) { self.behaviour.withLock { $0 = behaviour } }

    func answer(_ request: HookRequest) -> HookAnswer {
        if let challenge = Self.challenge(request) { return .status(200, body: Array(challenge.utf8)) }
        requests.withLock { $0.append(request) }
        let answer = behaviour.withLock { $0 }(request)
        arrival.yield(request)
        return answer
    }

    /// Returns when so many requests more have come.
    func wait(for count: Int) async {
        var left = count
        guard left > 0 else { return }
        for await _ in arrivals {
            left -= 1
            if left == 0 { return }
        }
    }

    static func challenge(_ request: HookRequest) -> String? {
        let json = (try? JSONSerialization.jsonObject(with: Data(request.body))) as? [String: Any]
        guard json?["type"] as? String == "webhook_endpoint.verification" else { return nil }
        return (json?["data"] as? [String: Any])?["challenge"] as? String
    }
}

/// Answers with what it is told for every name.
struct FixedResolver: HostResolver {
    let answer: @Sendable (String) -> [String]

    func addresses(of host: String, until deadline: ContinuousClock.Instant) async throws(OutboundFailure) -> [IPAddress] {
        answer(host).compactMap { IPAddress($0) }
    }
}

let loopback = EgressPolicy.allowing(networks: ["127.0.0.0/8"].compactMap { IPNetwork($0) }, schemes: [.http, .https])

func withHooks<Result: Sendable>(
    start: Date = Date(timeIntervalSince1970: 1_780_000_000), resolver: any HostResolver = FixedResolver { _ in ["127.0.0.1"] },
    _ body: (HookRig, HookBook, HookReceiver) async throws -> Result
) async throws -> Result {
    try await withTestGateway(start: start) { test in
        var configuration = HTTPClient.Configuration(policy: loopback, resolver: resolver, userAgent: "gateway-test/1")
        configuration.connectDeadline = .seconds(600)
        configuration.runningPerHost = 256
        let http = try HTTPClient(configuration)
        let book = HookBook()
        let receiver = try await HookReceiver.start { book.answer($0) }
        let gateway = Gateway(
            databases: test.gateway.databases, keyRing: test.keyRing, webhookURLs: .allowed(by: loopback), logger: .silent, now: { test.now })
        let account = try await gateway.accounts.create(name: "Toko", now: test.now).id
        let rig = HookRig(test: test, gateway: gateway, http: http, account: account)
        do {
            let result = try await body(rig, book, receiver)
            await receiver.stop()
            await http.close(within: .zero)
            return result
        } catch {
            await receiver.stop()
            await http.close(within: .zero)
            throw error
        }
    }
}
