import Telemetry

/// Every metric that a gateway exports, in the order of its documentation (Docs/metrics.md, which a test compares with this list).
///
/// Labels hold words of ours only: states, codes, route templates, names of tasks and tables. Nobody's id is among them, no account's either:
/// whatever grows with the number of customers stands in the database and the log.
enum MetricCatalogue {
    static let all: [MetricDefinition] = process + requests + messages + senders + upkeep + ProcessFigures.definitions

    /// Seconds, from a lone database commit to what only a stuck server takes.
    private static let quick: [Double] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
    /// Seconds, from an idle sender's first byte to a campaign's queue.
    private static let slow: [Double] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1_800, 7_200]
    /// Seconds, for phones that are on, and those that are not.
    private static let receipts: [Double] = [1, 2, 5, 10, 30, 60, 120, 300]

    private static let process: [MetricDefinition] = [
        MetricDefinition("gateway_build_info", .gauge, "Always 1; the labels say which release this is.", labels: ["version", "protocol"]),
        MetricDefinition("gateway_database_up", .gauge, "1 if the database answered the last look at it, else 0."),
        MetricDefinition("gateway_database_look_seconds", .gauge, "How long that look took, in seconds."),
        MetricDefinition(
            "gateway_database_snapshot_age_transactions", .gauge,
            "How many transactions ago the oldest snapshot was taken that keeps old rows from being removed; a long one slows every queue down."),
        MetricDefinition("gateway_database_connections", .gauge, "Connections of this process that may be open.", labels: ["pool"]),
        MetricDefinition("gateway_database_connections_busy", .gauge, "Of these, those in use.", labels: ["pool"]),
        MetricDefinition("gateway_database_waiting", .gauge, "Callers that wait for a connection.", labels: ["pool"]),
        MetricDefinition("gateway_clock_offset_seconds", .gauge, "How far this machine's clock is ahead of the database's, in seconds."),
        MetricDefinition("gateway_log_lines_total", .counter, "Log lines that were written."),
        MetricDefinition("gateway_log_lines_dropped_total", .counter, "Log lines that were dropped because nobody took them in time."),
        MetricDefinition("gateway_metrics_refused_total", .counter, "Metrics, or label values too many, that somebody wanted and that are not kept."),
    ]

    private static let requests: [MetricDefinition] = [
        MetricDefinition(
            "gateway_http_requests_total", .counter, "Requests to the API that were answered.", labels: ["route", "method", "status"], limit: 1_024),
        MetricDefinition(
            "gateway_http_request_seconds", .histogram(bounds: quick), "From a request's head to the head of its answer, in seconds.",
            labels: ["route", "method"], limit: 256),
        MetricDefinition("gateway_http_requests_running", .gauge, "Requests to the API that are being answered."),
        MetricDefinition(
            "gateway_accept_seconds", .histogram(bounds: quick),
            "From a request's head until its messages were durable and the answer was 202, in seconds.",
            labels: ["request"]),
        MetricDefinition(
            "gateway_outbound_requests_total", .counter, "HTTP requests of the gateway's own that ended, by status class or failure code.",
            labels: ["purpose", "outcome"]),
        MetricDefinition(
            "gateway_outbound_request_seconds", .histogram(bounds: quick), "How long they took, redirects included, in seconds.", labels: ["purpose"]),
        MetricDefinition("gateway_outbound_running", .gauge, "HTTP requests of the gateway's own that are under way.", labels: ["purpose"]),
        MetricDefinition("gateway_outbound_waiting", .gauge, "HTTP requests of the gateway's own that wait for their turn.", labels: ["purpose"]),
    ]

    private static let messages: [MetricDefinition] = [
        MetricDefinition(
            "gateway_wire_delay_seconds", .histogram(bounds: slow),
            "From the moment a message was accepted, or due if that was later, until its first byte could leave, in seconds.", labels: ["sender"]),
        MetricDefinition(
            "gateway_ack_seconds", .histogram(bounds: quick + [30, 75]),
            "From a message's first byte until WhatsApp's answer to it was recorded, in seconds; a refusal is an answer.", labels: ["sender"]),
        MetricDefinition(
            "gateway_unanswered_total", .counter, "Messages whose bytes left and that WhatsApp did not answer in time.", labels: ["sender"]),
        MetricDefinition(
            "gateway_receipt_seconds", .histogram(bounds: receipts),
            "From a message's last byte until its first delivery receipt, by the device's own time, in seconds; of a sample of messages."),
        MetricDefinition("gateway_sends_running", .gauge, "Messages between claim and outcome on this node."),
        MetricDefinition("gateway_queue_messages", .gauge, "Messages that are not settled, by state; of all nodes.", labels: ["state"]),
        MetricDefinition(
            "gateway_queue_oldest_seconds", .gauge, "How long the oldest message waits that is due to be sent, in seconds; 0: none does."),
    ]

    private static let senders: [MetricDefinition] = [
        MetricDefinition("gateway_senders", .gauge, "Senders by state; of all nodes.", labels: ["state", "kind"]),
        MetricDefinition("gateway_accounts", .gauge, "Accounts by state.", labels: ["state"]),
        MetricDefinition("gateway_nodes", .gauge, "Engine nodes seen in the last minute."),
    ]

    private static let upkeep: [MetricDefinition] = [
        MetricDefinition(
            "gateway_cron_last_success_timestamp_seconds", .gauge,
            "When a task of the hourly job last succeeded, in seconds since 1970; absent: not in 7 days.", labels: ["task"]),
        MetricDefinition("gateway_cron_oldest_success_age_seconds", .gauge, "How long ago that was for the task that waits longest, in seconds."),
        MetricDefinition("gateway_cron_failed", .gauge, "1 if the task's last run failed, else 0.", labels: ["task"]),
        MetricDefinition("gateway_webhooks_pending", .gauge, "Webhook deliveries that are not done; of all nodes."),
        MetricDefinition(
            "gateway_webhooks_oldest_seconds", .gauge, "How long the oldest webhook delivery waits that is due, in seconds; 0: none does."),
        MetricDefinition("gateway_webhooks_dead", .gauge, "Webhook deliveries that were given up in the last 24 hours."),
        MetricDefinition(
            "gateway_alert_notices_total", .counter, "Notices of alerts that were tried, by transport and outcome.", labels: ["transport", "outcome"]),
        MetricDefinition("gateway_contacts_cached", .gauge, "Rows of the contact cache, which is emptied every hour."),
        MetricDefinition("gateway_contacts_oldest_seconds", .gauge, "Age of its oldest row in seconds; 0: it is empty."),
        MetricDefinition(
            "gateway_partitions_ahead_seconds", .gauge, "How far ahead a partitioned table has partitions, in seconds.", labels: ["table"]),
    ]
}
