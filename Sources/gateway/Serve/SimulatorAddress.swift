import Foundation
import Primitives

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// Learns the root key of a simulator that runs elsewhere, from its control API on the same port.
enum SimulatorAddress {
    /// - Parameter url: the simulator's `ws://127.0.0.1:PORT/ws/chat`.
    static func rootKey(of url: String) async throws -> PublicKey {
        guard var parts = URLComponents(string: url) else { throw Failure("sandbox.endpoint is no URL") }
        parts.scheme = "http"
        parts.path = "/control/root"
        guard let address = parts.url else { throw Failure("sandbox.endpoint is no URL") }
        do {
            let (data, _) = try await URLSession.shared.data(from: address)
            let text = String(decoding: data, as: UTF8.self)
            // The answer is the hex itself, or a JSON object that holds it.
            guard let hex = text.firstMatch(of: /[0-9a-f]{64}/), let bytes = Hex.decode(String(hex.output)) else {
                throw Failure("the simulator at sandbox.endpoint names no root key")
            }
            return try PublicKey(bytes)
        } catch is URLError {
            throw Failure("no simulator answers at sandbox.endpoint")
        }
    }
}
