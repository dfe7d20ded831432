import Foundation
import OutboundHTTP
import Primitives

/// Learns the root key of a simulator that runs elsewhere, from its control API on the same port.
enum SimulatorAddress {
    /// - Parameter url: the simulator's `ws://127.0.0.1:PORT/ws/chat`. The operator names it, so it may be in any network.
    static func rootKey(of url: String) async throws -> PublicKey {
        guard var parts = URLComponents(string: url) else { throw Failure("sandbox.endpoint is no URL") }
        parts.scheme = "http"
        parts.path = "/control/root"
        guard let address = parts.string else { throw Failure("sandbox.endpoint is no URL") }
        let networks = ["0.0.0.0/0", "::/0"].compactMap(IPNetwork.init)
        do {
            let client = try HTTPClient(.init(policy: .allowing(networks: networks, schemes: [.http]), userAgent: "gateway"))
            let response = try await client.send(try OutboundRequest(.get, address))
            await client.close(within: .zero)
            // The answer is the hex itself, or a JSON object that holds it.
            guard let hex = String(decoding: response.body, as: UTF8.self).firstMatch(of: /[0-9a-f]{64}/), let bytes = Hex.decode(String(hex.output))
            else { throw Failure("the simulator at sandbox.endpoint names no root key") }
            return try PublicKey(bytes)
        } catch let error as OutboundFailure {
            throw Failure("no simulator answers at sandbox.endpoint: \(error.code.rawValue)")
        }
    }
}
