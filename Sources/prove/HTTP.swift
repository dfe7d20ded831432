import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// Just enough HTTP for the proofs to call a gateway as its users do.
enum HTTP {
    struct Answer {
        var status: Int
        var body: [String: Any]
    }

    /// Throws when there is no answer at all, which a killed gateway is expected to cause.
    static func request(
        _ method: String, _ url: String, key: String? = nil, idempotencyKey: String? = nil, body: [String: Any]? = nil, timeout: Double = 10
    ) async throws -> Answer {
        guard let address = URL(string: url) else { throw URLError(.badURL) }
        var request = URLRequest(url: address, timeoutInterval: timeout)
        request.httpMethod = method
        if let key { request.setValue("Bearer \(key)", forHTTPHeaderField: "Authorization") }
        if let idempotencyKey { request.setValue(idempotencyKey, forHTTPHeaderField: "Idempotency-Key") }
        if let body {
            request.setValue("application/json", forHTTPHeaderField: "Content-Type")
            request.httpBody = try JSONSerialization.data(withJSONObject: body)
        }
        let (data, response) = try await URLSession.shared.data(for: request)
        let object = try? JSONSerialization.jsonObject(with: data) as? [String: Any]
        return Answer(status: (response as? HTTPURLResponse)?.statusCode ?? 0, body: object ?? [:])
    }
}
