/// How much each part does. The quick one shows that everything works; its figures are rough.
struct Plan {
    /// Seconds of one load on one server, and how often it comes round.
    var loadSeconds = 5
    var rounds = 3
    let connections = [1, 16, 64, 256]
    /// Connections that send batches of 100.
    let batchConnections = 4
    /// How long each policy's decisions are counted.
    var decisionMilliseconds = 1_000
    /// Messages of a sender that is idle before each of them.
    var idleMessages = 300
    /// PostgreSQL's own counters lag behind by so much.
    var counterSeconds = 11
    /// Senders to accept for. They do not send meanwhile.
    let acceptSenders = 10
    /// Senders → messages.
    var messages = [1: 2_000, 10: 8_000, 100: 15_000]
    /// How long one of these may take before it is reported as far as it came.
    var deliverySeconds = 180
    /// Messages of one account in the queue while another one sends.
    var largeQueue = 100_000
    var idleSenders = [100, 1_000]
    /// Seconds during which idle senders are watched.
    var idleSeconds = 30
    /// One-time prekeys of a new sender; nil: the gateway's default.
    var preKeys: Int?

    static let full = Plan()
    static let quick = Plan(
        loadSeconds: 1, rounds: 1, decisionMilliseconds: 100, idleMessages: 30, counterSeconds: 1, messages: [1: 100, 10: 400, 100: 1_000],
        deliverySeconds: 120, largeQueue: 20_000, idleSenders: [10, 100], idleSeconds: 5, preKeys: 40)

    var preKeySetting: [String: String] { preKeys.map { ["GATEWAY_WHATSAPP_INITIAL_PREKEYS": "\($0)"] } ?? [:] }
}
