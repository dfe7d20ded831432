/// A text of 1 to 65,536 Unicode scalars without NUL. Never printed.
package struct MessageText: Hashable, Sendable, CustomStringConvertible {
    package static let limit = 65_536
    package let value: String

    package init(_ value: String) throws(InvalidMessage.Code) {
        guard !value.isEmpty else { throw .empty }
        guard value.unicodeScalars.count <= Self.limit else { throw .tooLong }
        guard !value.unicodeScalars.contains("\0") else { throw .invalidValue }
        self.value = value
    }

    package var description: String { "MessageText(redacted)" }
}

/// The client's name for a request: 1 to 255 characters of printable ASCII.
package struct IdempotencyKey: Hashable, Sendable, CustomStringConvertible {
    package let value: String

    package init(_ value: String) throws(InvalidMessage.Code) {
        guard !value.isEmpty else { throw .empty }
        guard value.utf8.count <= 255 else { throw .tooLong }
        guard value.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else { throw .invalidValue }
        self.value = value
    }

    private init(unchecked value: String) { self.value = value }

    /// The key of one item of a batch.
    func item(_ index: Int) -> IdempotencyKey { IdempotencyKey(unchecked: "\(value)#\(index)") }

    package var description: String { "IdempotencyKey(redacted)" }
}

/// The client's own name for what the message is about: 1 to 255 characters. Sealed at rest, searched by blind index.
package struct Reference: Hashable, Sendable, CustomStringConvertible {
    package let value: String

    package init(_ value: String) throws(InvalidMessage.Code) {
        guard !value.isEmpty else { throw .empty }
        guard value.unicodeScalars.count <= 255 else { throw .tooLong }
        guard value.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F }) else { throw .invalidValue }
        self.value = value
    }

    package var description: String { "Reference(redacted)" }
}

/// Up to 16 pairs the client gets back unchanged: keys of 1 to 64, values of up to 512 scalars. Sealed at rest.
package struct Metadata: Hashable, Sendable, CustomStringConvertible {
    package let pairs: [String: String]

    package init(_ pairs: [String: String]) throws(InvalidMessage.Code) {
        guard pairs.count <= 16 else { throw .tooMany }
        for (key, value) in pairs {
            guard !key.isEmpty else { throw .empty }
            guard key.unicodeScalars.count <= 64, value.unicodeScalars.count <= 512 else { throw .tooLong }
            guard !key.unicodeScalars.contains("\0"), !value.unicodeScalars.contains("\0") else { throw .invalidValue }
        }
        self.pairs = pairs
    }

    package var description: String { "Metadata(redacted)" }
}

package enum Priority: String, Sendable, CaseIterable {
    case high, normal, low

    /// Order of claiming: lower goes first.
    package var rank: Int16 {
        switch self {
        case .high: 0
        case .normal: 1
        case .low: 2
        }
    }

    init(rank: Int16) { self = rank <= 0 ? .high : rank == 1 ? .normal : .low }
}

/// How long the gateway keeps what a message says. The raw value is stored and shown.
package enum MessageStore: String, Sendable, CaseIterable {
    /// As long as the account keeps bodies: 30 days.
    case standard = "default"
    /// Until every device it was addressed to has it, at most 72 hours.
    case none
}

/// What the caller asked for: a sender, a pool, or nothing (the account's default pool). `policy` overrides the pool's own for this message.
package enum RouteRequest: Hashable, Sendable {
    case sender(Sender.ID)
    case pool(Pool.ID, policy: RoutingPolicy? = nil)
    case defaultPool(policy: RoutingPolicy? = nil)
}
