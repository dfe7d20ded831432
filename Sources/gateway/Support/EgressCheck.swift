import ArgumentParser
import Foundation
import OutboundHTTP

/// Whether this machine finds and reaches the outside, through the resolver and the policy that everything else goes through.
struct EgressCheck: Sendable {
    private static let patience: Duration = .seconds(10)

    private let url: OutboundURL
    private let policy: EgressPolicy

    /// - Parameter target: what the operator named, which may be in any network; nil: the host of `whatsapp.endpoint`.
    /// - Throws: `ValidationError` for what is no URL.
    init(target: String?, settings: Settings) throws {
        let endpoint = settings.whatsApp.endpoint
        // Another endpoint than WhatsApp's own is the operator's too.
        let isOwn = target != nil || !endpoint.hasPrefix("wss://")
        var parts = URLComponents(string: endpoint)
        parts?.scheme = endpoint.hasPrefix("wss://") ? "https" : "http"
        parts?.path = "/"
        parts?.query = nil
        do {
            url = try OutboundURL(target ?? parts?.string ?? "")
        } catch {
            throw ValidationError("--target takes an https:// or http:// URL: \(error.detail)")
        }
        policy = isOwn ? .allowing(networks: ["0.0.0.0/0", "::/0"].compactMap(IPNetwork.init), schemes: [.http, .https]) : .public
    }

    func run() async -> [HealthCheck] {
        let dns: HealthCheck
        switch url.host {
        case .address: dns = .skipped("dns", "\(url.host) is an address")
        case .name(let name):
            do {
                let addresses = try await SystemHostResolver().addresses(of: name, until: .now + Self.patience)
                try policy.vet(addresses, of: name)
                dns = .ok("dns", "\(name) has \(addresses.count) addresses")
            } catch {
                return [
                    .failed("dns", "\(error)", "see /etc/resolv.conf, and whether this machine may ask its name servers"),
                    .skipped("egress", "dns failed"),
                ]
            }
        }
        return [dns, await reach()]
    }

    private func reach() async -> HealthCheck {
        do {
            let client = try HTTPClient(.init(policy: policy, userAgent: "gateway-doctor"))
            var request = try OutboundRequest(.get, url)
            request.deadline = Self.patience
            request.bodyLimit = 1_024
            request.excess = .truncate
            let result: HealthCheck
            do {
                let response = try await client.send(request)
                result = .ok("egress", "\(url) answered \(response.status) after \(response.duration.milliseconds) ms")
            } catch {
                result = .failed("egress", "\(url): \(error)", "let this machine reach \(url.host):\(url.port)")
            }
            await client.close(within: .zero)
            return result
        } catch {
            return .failed("egress", "\(error)", "this is a mistake of the gateway's; report it")
        }
    }
}
