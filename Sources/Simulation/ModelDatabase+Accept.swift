extension ModelDatabase {
    package struct Accepting {
        package var message: Int
        package var request: Int
        package var account: Int
        package var sender: Int
        package var wireID: Int
        package var recipient: Int
        package var priority: Int
        package var createdAt: Int
        /// nil: now.
        package var sendAt: Int?
        package var expiresAt: Int
        package var atMostOnce: Bool
        package var movable: Bool
        package var failFast: Bool
        package var key: Int?
        package var fingerprint: Int

        package init(
            message: Int, request: Int, account: Int, sender: Int, wireID: Int, recipient: Int, priority: Int, createdAt: Int, sendAt: Int?,
            expiresAt: Int, atMostOnce: Bool, movable: Bool, failFast: Bool, key: Int?, fingerprint: Int
        ) {
            self.message = message
            self.request = request
            self.account = account
            self.sender = sender
            self.wireID = wireID
            self.recipient = recipient
            self.priority = priority
            self.createdAt = createdAt
            self.sendAt = sendAt
            self.expiresAt = expiresAt
            self.atMostOnce = atMostOnce
            self.movable = movable
            self.failFast = failFast
            self.key = key
            self.fingerprint = fingerprint
        }
    }

    package enum Accepted: Equatable {
        case stored(Int)
        case repeated(Int)
        case keyReused
    }

    /// Key, message, outbox row, wire id and first event, or the first message of that key.
    package mutating func accept(_ wanted: Accepting) -> Accepted {
        if let name = wanted.key, sabotage != .keyForgotten {
            if let known = keys[name], known.expiresAt > wanted.createdAt {
                return known.fingerprint == wanted.fingerprint ? .repeated(known.message) : .keyReused
            }
            keys[name] = Key(message: wanted.message, fingerprint: wanted.fingerprint, expiresAt: wanted.createdAt + Self.keyLifetime)
        }
        let state: ModelState = wanted.sendAt == nil ? .accepted : .scheduled
        messages[wanted.message] = Message(
            request: wanted.request, account: wanted.account, sender: wanted.sender, wireID: wanted.wireID, recipient: wanted.recipient, state: state,
            expiresAt: wanted.expiresAt)
        outbox[wanted.message] = OutboxRow(
            sender: wanted.sender, state: state, priority: wanted.priority, dueAt: wanted.sendAt ?? wanted.createdAt, expiresAt: wanted.expiresAt,
            atMostOnce: wanted.atMostOnce, movable: wanted.movable, failFast: wanted.failFast, wireID: wanted.wireID)
        tell(wanted.message, state == .accepted ? "queued" : "scheduled")
        touched.append(wanted.message)
        return .stored(wanted.message)
    }

    /// Succeeds while nothing has left. The state afterwards; nil: no such message.
    package mutating func cancel(_ id: Int, now: Int) -> ModelState? {
        if let row = outbox[id], row.state.rawValue <= ModelState.prepared.rawValue || sabotage == .cancelWithoutState {
            settle(id, as: .canceled, failure: nil, now: now)
        }
        return messages[id]?.state
    }
}
