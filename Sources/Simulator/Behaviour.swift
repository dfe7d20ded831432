/// What the server does with a second stanza of the same (sender, chat, message id).
package enum DuplicateMode: String, Sendable, Codable {
    /// Answers with a normal ack; only devices that did not get the first one get it.
    case deduplicate
    /// Delivers both.
    case forward
    /// Answers the second with error 409 and delivers nothing.
    case refuse
}

/// An ack with an error, a number of times.
package struct Refusal: Sendable, Equatable {
    package var code: Int
    /// How often: per message for a recipient, in all for a sender; nil for ever.
    package var times: Int?

    package init(code: Int, times: Int? = nil) {
        self.code = code
        self.times = times
    }
}

/// How a number and its devices answer.
package struct RecipientBehaviour: Sendable, Equatable {
    package enum Receipts: String, Sendable, Codable { case none, delivered, read }

    package var isOnWhatsApp = true
    package var hasLID = true
    package var receipts = Receipts.delivered
    /// How long after the message the receipts come.
    package var receiptDelay: Duration = .zero
    package var refusal: Refusal?
    /// How often the phone asks for each message again, decrypting nothing meanwhile.
    package var retryRequests = 0
    /// How many acks of each message are lost. The message itself arrives.
    package var lostAcks = 0
    /// Bundles come without a one-time prekey.
    package var lacksOneTimePreKeys = false
    /// Bundles come with a signature of the signed prekey that does not verify.
    package var hasInvalidSignature = false

    package init() {}

    /// What the number's last four digits stand for:
    ///
    /// | digits | behaviour |
    /// |---|---|
    /// | 0000 | not on WhatsApp |
    /// | 0001 | delivered, then read |
    /// | 0002 | delivered late (`Configuration.slowDelay`) |
    /// | 0003 | accepted, never any receipt |
    /// | 0004 | every message refused with 463 |
    /// | 0005 | the first try of each message refused with 479 |
    /// | 0006 | the phone asks for each message once more |
    /// | 0007 | the first ack of each message lost |
    /// | 0008 | on WhatsApp, without LID |
    /// | 0009 | every message refused with 429 |
    /// | others | delivered |
    package init(number: String, slowDelay: Duration) {
        switch number.suffix(4) {
        case "0000": isOnWhatsApp = false
        case "0001": receipts = .read
        case "0002": receiptDelay = slowDelay
        case "0003": receipts = .none
        case "0004": refusal = Refusal(code: 463)
        case "0005": refusal = Refusal(code: 479, times: 1)
        case "0006": retryRequests = 1
        case "0007": lostAcks = 1
        case "0008": hasLID = false
        case "0009": refusal = Refusal(code: 429)
        default: break
        }
    }
}

/// How the server treats one sender's traffic, or everybody's.
package struct TrafficBehaviour: Sendable, Equatable {
    /// How many of the next acks are lost; the messages arrive.
    package var lostAcks = 0
    /// How many of the next message stanzas vanish before the server has seen them.
    package var lostMessages = 0
    package var ackDelay: Duration = .zero
    /// How many of the next acks come twice.
    package var repeatedAcks = 0
    package var refusal: Refusal?
    /// Keepalives get no answer.
    package var mutesPings = false
    /// Device and contact queries are refused with this code.
    package var queryError: Int?
    /// The next logins end in `<failure>`.
    package var loginFailure: LoginFailure?
    package var duplicates: DuplicateMode?

    package init() {}

    package struct LoginFailure: Sendable, Equatable {
        package var reason: Int
        /// Nil for ever.
        package var times: Int?
        /// With reason 402: which rule, and for how many seconds.
        package var code: Int?
        package var expire: Int?

        package init(reason: Int, times: Int? = 1, code: Int? = nil, expire: Int? = nil) {
            self.reason = reason
            self.times = times
            self.code = code
            self.expire = expire
        }
    }
}
