import Foundation
import ServiceLifecycle
import Synchronization

/// The one door through which HTTP leaves: webhooks, Telegram, Resend, media. libcurl's multi interface on one thread, async on top.
///
///     let client = try HTTPClient(.init(userAgent: "gateway/1.0"))                       // public hosts, https only
///     let request = try OutboundRequest(.post, url, headers: ["content-type": "application/json"], body: json)
///     do {
///         let response = try await client.send(request)     // any status, 3xx included, is a response
///     } catch {                                             // an OutboundFailure
///         logger.warning("webhook failed", metadata: ["error.code": "\(error.code.rawValue)"])
///         // The customer sees error.shownCode; error.isTransient and error.mayHaveArrived say what a retry is worth and what it risks.
///     }
///
/// What a host's name leads to is looked up for every request, all of it is vetted by the policy, and connections go to a vetted address only.
/// Connections are kept for a minute and shared by requests to the same name at the same address; HTTP/2 is used where a TLS peer offers it.
/// Neither cookies, nor proxies or credentials of the environment, nor redirects that were not asked for. Two kinds of trust (customers' URLs, the
/// operator's own) are two clients. A tenant with many hosts has a share per host: who serves tenants limits each of them before calling.
package final class HTTPClient: Service, Sendable {
    package struct Configuration: Sendable {
        package var policy: EgressPolicy
        package var resolver: any HostResolver
        package var proxy: OutboundProxy?
        package var userAgent: String
        /// PEM file with certificates to trust besides the system's.
        package var certificateFile: String?
        /// For a request that names none: from `send` to the last byte.
        package var deadline: Duration = .seconds(20)
        /// For a request that names none: TCP and TLS, all addresses together.
        package var connectDeadline: Duration = .seconds(5)
        /// How long an open connection may have been idle and still be used, in whole seconds.
        package var connectionRest: Duration = .seconds(60)
        /// For a request that names none.
        package var bodyLimit = 1 << 20
        /// Bytes of all header lines of a response together, 1xx and trailers included.
        package var headerLimit = 32 << 10
        /// At the same time, in all.
        package var running = 256
        /// At the same time, for one scheme, host and port.
        package var runningPerHost = 8
        /// May wait for their turn; the next one is `overloaded`.
        package var waiting = 10_000
        package var waitingPerHost = 1_000
        /// How long running requests may go on after shutdown began.
        package var grace: Duration = .seconds(5)
        /// Told when a request is over, on the caller's task; for metrics. It must not wait for anything.
        package var finished: (@Sendable (Outcome) -> Void)?

        package init(
            policy: EgressPolicy = .public, resolver: any HostResolver = SystemHostResolver(), proxy: OutboundProxy? = nil,
            userAgent: String, certificateFile: String? = nil
        ) {
            self.policy = policy
            self.resolver = resolver
            self.proxy = proxy
            self.userAgent = userAgent
            self.certificateFile = certificateFile
        }
    }

    /// What became of a request, its redirects included.
    package struct Outcome: Hashable, Sendable {
        /// nil: there was none.
        package var status: Int?
        /// Why there was none.
        package var failure: OutboundFailure.Code?
        package var duration: Duration
    }

    /// How much is going on, for metrics.
    package struct Load: Hashable, Sendable {
        package var running: Int
        package var waiting: Int
    }

    private static let addressesTried = 3
    private let configuration: Configuration
    private let thread: EventThread
    /// The address that answered last, by host: tried first, so that connections are reused and a dead address costs once.
    private let lastGood = Mutex<[String: IPAddress]>([:])

    /// Starts the thread. Throws `misconfigured` for a CA file that cannot be read or a user agent that is no header's value.
    package init(_ configuration: Configuration) throws(OutboundFailure) {
        if let file = configuration.certificateFile, !FileManager.default.isReadableFile(atPath: file) {
            throw OutboundFailure(.misconfigured, "the CA file cannot be read", isTransient: false)
        }
        guard configuration.userAgent.utf8.allSatisfy({ (0x20...0x7e).contains($0) }), !configuration.userAgent.isEmpty else {
            throw OutboundFailure(.misconfigured, "the user agent is not printable ASCII", isTransient: false)
        }
        self.configuration = configuration
        thread = try EventThread(
            .init(
                running: max(1, configuration.running), runningPerLane: max(1, configuration.runningPerHost),
                waiting: max(1, configuration.waiting), waitingPerLane: max(1, configuration.waitingPerHost)))
    }

    deinit { thread.stop(at: .now) }

    package var load: Load { thread.load }

    /// Lives until shutdown, then closes. The client is usable before and without it.
    package func run() async throws {
        try? await gracefulShutdown()  // cancelled instead: the same end
        await close(within: configuration.grace)
    }

    /// Refuses new requests with `closed`, lets the running ones end until then, ends the rest, and returns when the thread is gone.
    package func close(within grace: Duration) async { await thread.close(at: .now + grace) }

    /// Sends a request and returns the whole response. Cancelling the task aborts it at once.
    package func send(_ request: OutboundRequest) async throws(OutboundFailure) -> OutboundResponse {
        let began = ContinuousClock.now
        do {
            let response = try await perform(request, began)
            configuration.finished?(Outcome(status: response.status, failure: nil, duration: began.duration(to: .now)))
            return response
        } catch {
            configuration.finished?(Outcome(status: nil, failure: error.code, duration: began.duration(to: .now)))
            throw error
        }
    }

    private func perform(_ request: OutboundRequest, _ began: ContinuousClock.Instant) async throws(OutboundFailure) -> OutboundResponse {
        let deadline = began + (request.deadline ?? configuration.deadline)
        guard (request.bodyLimit ?? 0) >= 0, deadline > began else {
            throw .invalidRequest("a limit is negative or the deadline is not in the future")
        }
        var request = request
        var hops = 0
        while true {
            let response = try await exchange(request, began: began, deadline: deadline)
            guard case .follow(let most) = request.redirects, let next = try request.redirected(by: response) else { return response }
            guard hops < most else { throw OutboundRequest.refused("more than \(most) redirects") }
            hops += 1
            request = next
        }
    }

    // MARK: One hop

    /// Tries the host's addresses in turn as long as nothing has left.
    private func exchange(
        _ request: OutboundRequest, began: ContinuousClock.Instant, deadline: ContinuousClock.Instant
    ) async throws(OutboundFailure) -> OutboundResponse {
        try configuration.policy.check(request.url)
        let host = request.url.host.description
        let all = try await addresses(of: request.url.host, configuration.policy, until: deadline)
        let addresses = ordered(all, host: host).prefix(Self.addressesTried)
        let proxy = try await proxyAddress(until: deadline)
        var failure = OutboundFailure(.connectFailed, "no address was tried", isTransient: true)
        for address in addresses {
            let order = TransferOrder(
                request: request, address: address, proxy: proxy,
                connectDeadline: (request.connectDeadline ?? configuration.connectDeadline) / addresses.count,
                connectionRest: configuration.connectionRest,
                bodyLimit: request.bodyLimit ?? configuration.bodyLimit, headerLimit: configuration.headerLimit, began: began, deadline: deadline,
                userAgent: configuration.userAgent, certificateFile: configuration.certificateFile)
            do {
                let response = try await thread.perform(order)
                if all.count > 1 { remember(address, host: host) }
                return response
            } catch {
                failure = error
                let isElsewhereWorthATry = error.code == .connectFailed || error.code == .timeout
                guard isElsewhereWorthATry, !error.mayHaveArrived, .now < deadline else { throw error }
            }
        }
        throw failure
    }

    private func addresses(
        of host: OutboundURL.Host, _ policy: EgressPolicy, until deadline: ContinuousClock.Instant
    ) async throws(OutboundFailure) -> [IPAddress] {
        switch host {
        case .address(let address): try policy.vet([address], of: "the host")
        case .name(let name): try policy.vet(await configuration.resolver.addresses(of: name, until: deadline), of: name)
        }
    }

    private func proxyAddress(
        until deadline: ContinuousClock.Instant
    ) async throws(OutboundFailure) -> (address: IPAddress, port: Int, credentials: OutboundProxy.Credentials?)? {
        guard let proxy = configuration.proxy else { return nil }
        do {
            let addresses = try await addresses(of: proxy.host, proxy.policy, until: deadline)
            return ordered(addresses, host: "proxy").first.map { ($0, proxy.port, proxy.credentials) }
        } catch  where error.code == .dnsFailed || error.code == .addressForbidden {
            throw OutboundFailure(.proxyFailed, "the proxy: \(error.detail)", isTransient: error.isTransient)
        }
    }

    // MARK: Which address first

    private func ordered(_ addresses: [IPAddress], host: String) -> [IPAddress] {
        guard addresses.count > 1, let last = lastGood.withLock({ $0[host] }), addresses.contains(last) else { return addresses }
        return [last] + addresses.filter { $0 != last }
    }

    private func remember(_ address: IPAddress, host: String) {
        lastGood.withLock { known in
            if known.count >= 4_096 { known.removeAll(keepingCapacity: true) }
            known[host] = address
        }
    }
}
