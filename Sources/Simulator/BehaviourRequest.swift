/// The body of `POST /control/behaviour`: whom it is about, and what to change. Absent fields stay as they are.
struct BehaviourRequest: Decodable, Sendable {
    /// A recipient; then `sender` is not looked at.
    var number: String?
    /// A sender; with neither, everybody.
    var sender: String?

    var reset: Bool?
    var dropAck: Int?
    var delayMs: Int?
    /// 0 takes the refusal back.
    var nack: Int?
    var nackTimes: Int?

    // Recipients.
    var onWhatsapp: Bool?
    var hasLid: Bool?
    var receipts: RecipientBehaviour.Receipts?
    var retry: Int?
    var withoutPrekeys: Bool?
    var invalidSignature: Bool?

    // Senders.
    var dropMessage: Int?
    var repeatAck: Int?
    var mutePings: Bool?
    /// 0 takes the refusal back.
    var queryError: Int?
    var duplicates: DuplicateMode?
    /// The reason of the next logins' failure.
    var failure: Int?
    var failureTimes: Int?
    var failureCode: Int?
    var failureExpire: Int?
    var close: Bool?
    var replace: Bool?
    var streamError: Int?
}

extension ServerState {
    private static let maximumDelay = 86_400_000

    mutating func apply(_ request: BehaviourRequest, toRecipient number: String) throws(SimulatorError) {
        let index = try index(ofNumber: number)
        var behaviour = accounts[index].behaviour
        if request.reset == true { behaviour = RecipientBehaviour(number: accounts[index].number, slowDelay: configuration.slowDelay) }
        if let value = request.onWhatsapp { behaviour.isOnWhatsApp = value }
        if let value = request.hasLid { behaviour.hasLID = value }
        if let value = request.receipts { behaviour.receipts = value }
        if let value = request.delayMs { behaviour.receiptDelay = try Self.delay(value) }
        if let value = request.nack { behaviour.refusal = value == 0 ? nil : Refusal(code: value, times: request.nackTimes) }
        if let value = request.retry { behaviour.retryRequests = value }
        if let value = request.dropAck { behaviour.lostAcks = value }
        if let value = request.withoutPrekeys { behaviour.lacksOneTimePreKeys = value }
        if let value = request.invalidSignature { behaviour.hasInvalidSignature = value }
        accounts[index].behaviour = behaviour
    }

    mutating func apply(_ request: BehaviourRequest, toSender sender: String?) throws(SimulatorError) {
        var behaviour = serverBehaviour
        if let sender { behaviour = self.behaviour(ofSender: try account(ofSender: sender)) }
        if request.reset == true { behaviour = TrafficBehaviour() }
        if let value = request.dropAck { behaviour.lostAcks = value }
        if let value = request.dropMessage { behaviour.lostMessages = value }
        if let value = request.repeatAck { behaviour.repeatedAcks = value }
        if let value = request.delayMs { behaviour.ackDelay = try Self.delay(value) }
        if let value = request.nack { behaviour.refusal = value == 0 ? nil : Refusal(code: value, times: request.nackTimes) }
        if let value = request.mutePings { behaviour.mutesPings = value }
        if let value = request.queryError { behaviour.queryError = value == 0 ? nil : value }
        if let value = request.duplicates { behaviour.duplicates = value }
        if let value = request.failure {
            behaviour.loginFailure =
                value == 0
                ? nil
                : TrafficBehaviour.LoginFailure(
                    reason: value, times: request.failureTimes ?? 1, code: request.failureCode, expire: request.failureExpire)
        }
        try setBehaviour(behaviour, sender: sender)
        if let sender {
            if request.replace == true { try replace(sender: sender) }
            if request.streamError != nil || request.close == true { try disconnect(sender: sender, code: request.streamError) }
        } else if request.streamError != nil || request.close == true {
            disconnectAll(code: request.streamError)
        }
    }

    private static func delay(_ milliseconds: Int) throws(SimulatorError) -> Duration {
        guard (0...maximumDelay).contains(milliseconds) else { throw SimulatorError(.invalidRequest) }
        return .milliseconds(milliseconds)
    }
}
