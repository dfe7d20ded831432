import Domain
import Metrics
import OutboundHTTP
import Synchronization

/// What this process measures as it works: the handles that the hot path records with. Everything else is asked for at a scrape.
final class Measurements: Sendable {
    private struct Answered: Hashable {
        let path: String?
        let method: String
        let status: Int
    }

    private struct AnsweredHandles: Sendable {
        let count: Counter
        let time: Metrics.Timer
        /// Of messages: 202 to a POST of them.
        let accept: Metrics.Timer?
    }

    private let factory: any MetricsFactory
    /// By the closed lists of routes, methods and statuses, so it stays small.
    private let answered = Mutex<[Answered: AnsweredHandles]>([:])
    private let accepts: (one: Metrics.Timer, batch: Metrics.Timer)
    private let wireDelay: (live: Metrics.Timer, test: Metrics.Timer)
    private let acknowledged: (live: Metrics.Timer, test: Metrics.Timer)
    private let unanswered: (live: Counter, test: Counter)
    private let receipts: Metrics.Timer

    let runningRequests: Meter
    let runningSends: Meter

    init(_ factory: any MetricsFactory) {
        self.factory = factory
        func timer(_ name: String, _ label: String, _ value: String) -> Metrics.Timer {
            Metrics.Timer(label: name, dimensions: [(label, value)], factory: factory)
        }
        accepts = (timer("gateway_accept_seconds", "request", "message"), timer("gateway_accept_seconds", "request", "batch"))
        wireDelay = (timer("gateway_wire_delay_seconds", "sender", "live"), timer("gateway_wire_delay_seconds", "sender", "test"))
        acknowledged = (timer("gateway_ack_seconds", "sender", "live"), timer("gateway_ack_seconds", "sender", "test"))
        unanswered = (
            Counter(label: "gateway_unanswered_total", dimensions: [("sender", "live")], factory: factory),
            Counter(label: "gateway_unanswered_total", dimensions: [("sender", "test")], factory: factory)
        )
        receipts = Metrics.Timer(label: "gateway_receipt_seconds", dimensions: [], factory: factory)
        runningRequests = Meter(label: "gateway_http_requests_running", factory: factory)
        runningSends = Meter(label: "gateway_sends_running", factory: factory)
    }

    /// - Parameter path: the path's template as the router has it, never the path itself; nil: nobody's.
    func answered(path: String?, method: String, status: Int, after time: Duration) {
        let key = Answered(path: path, method: method, status: status)
        let handles = answered.withLock { known in
            if let handles = known[key] { return handles }
            let handles = makeHandles(key)
            known[key] = handles
            return handles
        }
        handles.count.increment()
        handles.time.record(duration: time)
        handles.accept?.record(duration: time)
    }

    private func makeHandles(_ key: Answered) -> AnsweredHandles {
        let route = Self.route(key.path)
        let isAccept = key.status == 202 && key.method == "POST"
        return AnsweredHandles(
            count: Counter(
                label: "gateway_http_requests_total", dimensions: [("route", route), ("method", key.method), ("status", "\(key.status)")],
                factory: factory),
            time: Metrics.Timer(label: "gateway_http_request_seconds", dimensions: [("route", route), ("method", key.method)], factory: factory),
            accept: isAccept ? ["/v1/messages": accepts.one, "/v1/messages/batch": accepts.batch][route] : nil)
    }

    /// As the documentation writes it: `/v1/messages/{id}`; a path that is nobody's is `none`.
    static func route(_ path: String?) -> String {
        // Hummingbird's word for it.
        guard let path, path != "NotFound" else { return "none" }
        return path.split(separator: "/", omittingEmptySubsequences: false).map { $0.hasPrefix(":") ? "{\($0.dropFirst())}" : "\($0)" }
            .joined(separator: "/")
    }

    func wireDelay(_ delay: Duration, isTest: Bool) { (isTest ? wireDelay.test : wireDelay.live).record(duration: delay) }
    func acknowledged(after time: Duration, isTest: Bool) { (isTest ? acknowledged.test : acknowledged.live).record(duration: time) }
    func unanswered(isTest: Bool) { (isTest ? unanswered.test : unanswered.live).increment() }
    func received(after time: Duration) { receipts.record(duration: time) }

    /// A notice of an alert was tried.
    func noticeTried(transport: String, outcome: String) {
        Counter(label: "gateway_alert_notices_total", dimensions: [("transport", transport), ("outcome", outcome)], factory: factory).increment()
    }

    /// For `HTTPClient.Configuration.finished`.
    /// - Parameter purpose: a word of ours, such as `webhook`.
    func outbound(_ purpose: String) -> @Sendable (HTTPClient.Outcome) -> Void {
        let time = Metrics.Timer(label: "gateway_outbound_request_seconds", dimensions: [("purpose", purpose)], factory: factory)
        return { [factory] outcome in
            let name = outcome.failure?.rawValue ?? outcome.status.map { "\($0 / 100)xx" } ?? "unknown"
            Counter(
                label: "gateway_outbound_requests_total", dimensions: [("purpose", purpose), ("outcome", name)], factory: factory
            ).increment()
            time.record(duration: outcome.duration)
        }
    }
}
