package import Foundation

/// A message that is worth accepting: the initialiser is the validation, inside nobody checks again. Only what depends on the moment is kept
/// for `Messages.accept` to judge, because a repeated request is answered as the first one was, though its times have come near meanwhile.
package struct SendMessage: Sendable, CustomStringConvertible {
    package static let defaultLifetime: TimeInterval = 24 * 3600
    package static let lifetimes: ClosedRange<TimeInterval> = 30...(7 * 24 * 3600)
    /// What is not stored lives no longer than its text may be kept: 72 hours.
    package static let unstoredLifetime: TimeInterval = 72 * 3600
    /// How far ahead a message can be scheduled: 30 days.
    package static let scheduleLimit: TimeInterval = 30 * 24 * 3600

    package let to: E164
    package let text: MessageText
    package let previewURL: Bool
    package let route: RouteRequest
    package let priority: Priority
    /// Not before this; nil: now.
    package let sendAt: Date?
    /// Nothing is put on the wire after this. The lifetime counts from `sendAt`.
    package let expiresAt: Date
    /// Rather refused, or failed when it comes due, than kept waiting for a sender.
    package let failFast: Bool
    /// Once its bytes may have left, it is never written again.
    package let atMostOnce: Bool
    package let store: MessageStore
    package let reference: Reference?
    package let metadata: Metadata?
    /// What is wrong with its times at the moment it was read; `accept` throws it unless the request is a repetition.
    package let lateness: InvalidMessage?
    /// What the caller said about expiry, for the fingerprint: a default moves with the clock, the request does not.
    private let requestedExpiry: Date?
    private let requestedLifetime: Int?

    /// Takes the request's fields as they came, already typed as JSON types, and throws every problem at once; but nothing if only its times
    /// are wrong (see `lateness`).
    /// - Parameters:
    ///   - ttl: seconds from `sendAt`, in place of `expiresAt`.
    ///   - now: when the request came.
    package init(
        to: String?, type: String? = "text", body: String?, previewURL: Bool = false, sender: String? = nil, pool: String? = nil,
        policy: String? = nil, priority: String? = nil, sendAt: Date? = nil, expiresAt: Date? = nil, ttl: Int? = nil, failFast: Bool = false,
        atMostOnce: Bool = false, store: String? = nil, reference: String? = nil, metadata: [String: String]? = nil,
        defaultCallingCode: String? = nil, now: Date
    ) throws(InvalidMessage) {
        var problems: [InvalidMessage.Problem] = []

        var number: E164?
        if let to {
            do { number = try E164(to, defaultCallingCode: defaultCallingCode) } catch {
                problems.append(.init("/to", .invalidNumber, "a phone number in E.164 form is + and 7 to 15 digits, such as +628123456789"))
            }
        } else {
            problems.append(.init("/to", .required, "say whom to write to"))
        }

        if let type, type != "text" { problems.append(.init("/type", .unsupported, "only \"text\" can be sent")) }
        if type == nil { problems.append(.init("/type", .required, "say what kind of message this is: \"text\"")) }

        let text = Self.read("/text/body", body, into: &problems) { value throws(InvalidMessage.Code) in try MessageText(value) }
        if body == nil { problems.append(.init("/text/body", .required, "a text of 1 to 65,536 characters is needed")) }
        let readReference = Self.read("/reference", reference, into: &problems) { value throws(InvalidMessage.Code) in try Reference(value) }
        let readMetadata = Self.read("/metadata", metadata, into: &problems) { value throws(InvalidMessage.Code) in try Metadata(value) }

        let readPriority = priority.map { Priority(rawValue: $0) } ?? .normal
        if readPriority == nil { problems.append(.init("/priority", .invalidValue, "one of high, normal, low")) }
        let readStore = store.map { MessageStore(rawValue: $0) } ?? .standard
        if readStore == nil { problems.append(.init("/store", .invalidValue, "one of default, none")) }
        let route = Self.route(sender: sender, pool: pool, policy: policy, into: &problems)
        if ttl != nil, expiresAt != nil { problems.append(.init("/ttl", .conflict, "give ttl or expires_at, not both")) }

        let start = sendAt ?? now
        let expiry = expiresAt ?? start.addingTimeInterval(ttl.map(Double.init) ?? Self.defaultLifetime)
        let times = Self.problems(sendAt: sendAt, expiry: expiry, isLifetime: ttl != nil, isStored: readStore != MessageStore.none, now: now)

        guard problems.isEmpty, let number, let text, let readPriority, let readStore, let route else { throw InvalidMessage(problems + times) }
        self.to = number
        self.text = text
        self.previewURL = previewURL
        self.route = route
        self.priority = readPriority
        self.sendAt = sendAt
        self.expiresAt = expiry
        self.failFast = failFast
        self.atMostOnce = atMostOnce
        self.store = readStore
        self.reference = readReference
        self.metadata = readMetadata
        lateness = times.isEmpty ? nil : InvalidMessage(times)
        requestedExpiry = expiresAt
        requestedLifetime = ttl
    }

    package var description: String { "SendMessage(redacted)" }

    private static func route(sender: String?, pool: String?, policy: String?, into problems: inout [InvalidMessage.Problem]) -> RouteRequest? {
        let count = problems.count
        let readPolicy = policy.flatMap { RoutingPolicy(rawValue: $0) }
        if policy != nil, readPolicy == nil {
            problems.append(.init("/route/policy", .unsupported, "one of " + RoutingPolicy.allCases.map(\.rawValue).joined(separator: ", ")))
        }
        if sender != nil, pool != nil { problems.append(.init("/route", .conflict, "name a sender or a pool, not both")) }
        if sender == nil, readPolicy == .explicit { problems.append(.init("/route/policy", .conflict, "\"explicit\" needs a sender")) }
        if sender != nil, let readPolicy, readPolicy != .explicit {
            problems.append(.init("/route/policy", .conflict, "a named sender leaves a policy nothing to choose"))
        }
        var senderID: Sender.ID?
        var poolID: Pool.ID?
        if let sender {
            do { senderID = try Sender.ID(text: sender) } catch { problems.append(.init("/route/sender", .invalidID, "a sender id is snd_…")) }
        } else if let pool {
            do { poolID = try Pool.ID(text: pool) } catch { problems.append(.init("/route/pool", .invalidID, "a pool id is pool_…")) }
        }
        guard problems.count == count else { return nil }
        if let senderID { return .sender(senderID) }
        return poolID.map { .pool($0, policy: readPolicy) } ?? .defaultPool(policy: readPolicy)
    }

    private static func problems(sendAt: Date?, expiry: Date, isLifetime: Bool, isStored: Bool, now: Date) -> [InvalidMessage.Problem] {
        var problems: [InvalidMessage.Problem] = []
        if let sendAt {
            if sendAt < now { problems.append(.init("/send_at", .tooEarly, "lies in the past")) }
            if sendAt > now.addingTimeInterval(scheduleLimit) { problems.append(.init("/send_at", .tooLate, "at most 30 days from now")) }
        }
        let pointer = isLifetime ? "/ttl" : "/expires_at"
        let lifetime = expiry.timeIntervalSince(sendAt ?? now)
        let place = isLifetime ? "" : sendAt == nil ? " from now" : " after send_at"
        if lifetime < lifetimes.lowerBound {
            problems.append(.init(pointer, .tooEarly, "at least 30 seconds" + place))
        } else if lifetime > (isStored ? lifetimes.upperBound : unstoredLifetime) {
            problems.append(.init(pointer, .tooLate, (isStored ? "at most 7 days" : "without being stored at most 72 hours") + place))
        }
        return problems
    }

    /// The request's meaning as bytes, each field with its length, for the keyed fingerprint that recognises a repeated request. What a request
    /// does not say adds nothing, so that a request of an older client means the same as before.
    var canonical: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(160 + text.value.utf8.count)
        func add(_ text: String?) {
            withUnsafeBytes(of: UInt32(text?.utf8.count ?? 0).littleEndian) { bytes.append(contentsOf: $0) }
            bytes.append(text == nil ? 0 : 1)
            if let text { bytes.append(contentsOf: text.utf8) }
        }
        /// An unsaid field before the name tells it from a pair of metadata.
        func add(_ name: String, _ value: String?) {
            guard let value else { return }
            add(nil)
            add(name)
            add(value)
        }
        func milliseconds(_ date: Date) -> String { String(Int64((date.timeIntervalSince1970 * 1000).rounded())) }
        var policy: RoutingPolicy?
        add("POST /v1/messages")
        add(to.digits)
        add(text.value)
        add(previewURL ? "preview" : nil)
        switch route {
        case .sender(let id): add("sender:\(id)")
        case .pool(let id, let override):
            add("pool:\(id)")
            policy = override
        case .defaultPool(let override):
            add(nil)
            policy = override
        }
        add(priority.rawValue)
        add(requestedExpiry.map(milliseconds))
        add(reference?.value)
        for (key, value) in (metadata?.pairs ?? [:]).sorted(by: { $0.key < $1.key }) {
            add(key)
            add(value)
        }
        add(atMostOnce ? "at_most_once" : nil)
        add("send_at", sendAt.map(milliseconds))
        add("ttl", requestedLifetime.map(String.init))
        add("fail_fast", failFast ? "true" : nil)
        add("store", store == .standard ? nil : store.rawValue)
        add("policy", policy?.rawValue)
        return bytes
    }

    private static func read<Raw, Value>(
        _ pointer: String, _ raw: Raw?, into problems: inout [InvalidMessage.Problem], _ parse: (Raw) throws(InvalidMessage.Code) -> Value
    ) -> Value? {
        guard let raw else { return nil }
        do { return try parse(raw) } catch {
            let detail =
                switch error {
                case .empty: "must not be empty"
                case .tooLong: "is too long"
                case .tooMany: "has too many entries"
                default: "holds characters that are not allowed"
                }
            problems.append(.init(pointer, error, detail))
            return nil
        }
    }
}
