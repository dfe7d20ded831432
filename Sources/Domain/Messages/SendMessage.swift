package import Foundation

/// A message that is worth accepting: the initialiser is the validation, inside nobody checks again.
package struct SendMessage: Sendable, CustomStringConvertible {
    package static let defaultLifetime: TimeInterval = 24 * 3600
    package static let lifetimes: ClosedRange<TimeInterval> = 30...(7 * 24 * 3600)

    package let to: E164
    package let text: MessageText
    package let previewURL: Bool
    package let route: RouteRequest
    package let priority: Priority
    /// Nothing is put on the wire after this.
    package let expiresAt: Date
    package let reference: Reference?
    package let metadata: Metadata?
    /// Once its bytes may have left, it is never written again.
    package let atMostOnce: Bool
    /// What the caller said about expiry, for the fingerprint: a default moves with the clock, the request does not.
    let requestedExpiry: Date?

    /// Takes the request's fields as they came, already typed as JSON types, and throws every problem at once.
    package init(
        to: String?, type: String? = "text", body: String?, previewURL: Bool = false, sender: String? = nil, pool: String? = nil,
        policy: String? = nil, priority: String? = nil, expiresAt: Date? = nil, reference: String? = nil, metadata: [String: String]? = nil,
        atMostOnce: Bool = false, defaultCallingCode: String? = nil, now: Date
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
        if let policy, RoutingPolicy(rawValue: policy) == nil {
            problems.append(.init("/route/policy", .unsupported, "one of " + RoutingPolicy.allCases.map(\.rawValue).joined(separator: ", ")))
        }
        if sender != nil, pool != nil { problems.append(.init("/route", .conflict, "name a sender or a pool, not both")) }
        var route = RouteRequest.defaultPool
        if let sender {
            do { route = .sender(try Sender.ID(text: sender)) } catch { problems.append(.init("/route/sender", .invalidID, "a sender id is snd_…")) }
        } else if let pool {
            do { route = .pool(try Pool.ID(text: pool)) } catch { problems.append(.init("/route/pool", .invalidID, "a pool id is pool_…")) }
        }

        let expiry = expiresAt ?? now.addingTimeInterval(Self.defaultLifetime)
        if expiry < now.addingTimeInterval(Self.lifetimes.lowerBound) {
            problems.append(.init("/expires_at", .tooEarly, "at least 30 seconds from now"))
        } else if expiry > now.addingTimeInterval(Self.lifetimes.upperBound) {
            problems.append(.init("/expires_at", .tooLate, "at most 7 days from now"))
        }

        guard problems.isEmpty, let number, let text, let readPriority else { throw InvalidMessage(problems) }
        self.to = number
        self.text = text
        self.previewURL = previewURL
        self.route = route
        self.priority = readPriority
        self.expiresAt = expiry
        self.requestedExpiry = expiresAt
        self.reference = readReference
        self.metadata = readMetadata
        self.atMostOnce = atMostOnce
    }

    package var description: String { "SendMessage(redacted)" }

    /// The request's meaning as bytes, each field with its length, for the keyed fingerprint that recognises a repeated request.
    var canonical: [UInt8] {
        var bytes: [UInt8] = []
        func add(_ text: String?) {
            let field = text.map { Array($0.utf8) }
            withUnsafeBytes(of: UInt32(field?.count ?? 0).littleEndian) { bytes += Array($0) }
            bytes += [field == nil ? 0 : 1] + (field ?? [])
        }
        add("POST /v1/messages")
        add(to.digits)
        add(text.value)
        add(previewURL ? "preview" : nil)
        switch route {
        case .sender(let id): add("sender:\(id)")
        case .pool(let id): add("pool:\(id)")
        case .defaultPool: add(nil)
        }
        add(priority.rawValue)
        add(requestedExpiry.map { String(Int64(($0.timeIntervalSince1970 * 1000).rounded())) })
        add(reference?.value)
        for (key, value) in (metadata?.pairs ?? [:]).sorted(by: { $0.key < $1.key }) {
            add(key)
            add(value)
        }
        add(atMostOnce ? "at_most_once" : nil)
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
