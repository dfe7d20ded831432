import Hummingbird
import Web

extension Routes {
    /// `/healthz` and `/readyz`, without authentication. They name codes only; details stand in the log.
    func addServiceRoutes(to router: Hummingbird.Router<WebContext>, readiness: @escaping @Sendable () async -> [String]) {
        router.path("healthz", get: { _, _ in JSONResponse.make(["status": "ok"]) })
        router.path(
            "readyz",
            get: { _, _ in
                let codes = await readiness()
                return JSONResponse.make(
                    ReadinessJSON(status: codes.isEmpty ? "ready" : "not_ready", codes: codes), status: codes.isEmpty ? .ok : .serviceUnavailable)
            })
    }
}

private struct ReadinessJSON: Encodable {
    var status: String
    var codes: [String]
}
