import Primitives
import SignalProtocol
import WhatsAppWire

/// From `success` to ready, and what keeps it so (protocol.md 7.1, 7.2, 7.4, 9.4).
extension WhatsAppClient {
    func logIn() async {
        do {
            let count = Node("iq", ["to": .jid(.server), "type": "get", "xmlns": "encrypt"], children: [Node("count")])
            let answer = try await request(count, timeout: configuration.requestTimeout)
            if let count = answer.child("count")?.smallNumber("value") { await refillPreKeys(serverCount: count) }
            let active = Node("iq", ["to": .jid(.server), "type": "set", "xmlns": "passive"], children: [Node("active")])
            _ = try await request(active, timeout: configuration.requestTimeout)
        } catch {
            logger.warning("login was not finished")
            return end(.loginFailed)
        }
        write(Node("presence", ["type": "unavailable"]))
        guard connection?.end == nil, connection != nil else { return }
        isReady = true
        await report(.ready)
        await keepAlive()
    }

    /// Pings at random intervals. One lost answer is tried again at once, the second ends the connection.
    private func keepAlive() async {
        var age = Duration.zero
        while true {
            let pause = randomDuration(in: configuration.keepalive)
            guard await sleep(pause) else { return }
            if await !ping(within: configuration.pingTimeout), !Task.isCancelled, await !ping(within: configuration.pingTimeout / 2) {
                if !Task.isCancelled { end(.keepaliveLost) }
                return
            }
            age += pause
            if age >= .seconds(60) { becameStable() }
        }
    }

    private func ping(within limit: Duration) async -> Bool {
        do throws(RequestFailure) {
            _ = try await request(Node("iq", ["to": .jid(.server), "type": "get", "xmlns": "w:p"]), timeout: limit)
            return true
        } catch {
            // Any answer is a sign of life.
            if case .refused = error { return true }
            return false
        }
    }

    private func randomDuration(in range: ClosedRange<Duration>) -> Duration {
        let span = (range.upperBound - range.lowerBound).nanosecondsClamped
        guard span > 0 else { return range.lowerBound }
        let number = random.bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return range.lowerBound + .nanoseconds(Int64(number % UInt64(span)))
    }

    /// Uploads one-time prekeys when the server runs low or nothing was ever uploaded. One upload at a time. Failures are logged: the server asks again.
    func refillPreKeys(serverCount: Int) async {
        guard !isUploadingPreKeys, let credentials else { return }
        isUploadingPreKeys = true
        defer { isUploadingPreKeys = false }
        do {
            let state = try await store.preKeyState()
            guard serverCount < Self.lowWatermark || !state.everUploaded else { return }
            let wanted = max(1, state.everUploaded ? configuration.refillPreKeys : configuration.firstPreKeys)
            // After a lost answer the same keys go again.
            var keys = try await store.unuploadedPreKeys(limit: wanted)
            if keys.count < wanted { keys += try await newPreKeys(wanted - keys.count, uploaded: false) }
            Failpoint.hit(.preKeysMade)
            try await upload(keys, credentials)
            Failpoint.hit(.preKeysUploaded)
            try await store.commit(DeviceChanges(uploadedPreKeys: keys.map(\.id)))
            Failpoint.hit(.preKeysRecorded)
        } catch let failure as RequestFailure {
            logger.warning("prekeys were not uploaded", metadata: ["error.code": "\(failure.serverCode)"])
        } catch {
            logger.error("prekeys could not be stored")
        }
    }

    private func upload(_ keys: [PreKeyPair], _ credentials: DeviceCredentials) async throws(RequestFailure) {
        let list = keys.map { key in
            Node("key", children: [Node("id", bytes: Self.threeBytes(key.id)), Node("value", bytes: key.publicKey.bytes)])
        }
        let signed = credentials.signedPreKey
        let stanza = Node(
            "iq", ["to": .jid(.server), "type": "set", "xmlns": "encrypt"],
            children: [
                Node("registration", bytes: Self.fourBytes(credentials.identity.registrationID)), Node("type", bytes: [5]),
                Node("identity", bytes: credentials.identity.keyPair.publicKey.bytes), Node("list", children: list),
                Node(
                    "skey",
                    children: [
                        Node("id", bytes: Self.threeBytes(signed.id)), Node("value", bytes: signed.publicKey.bytes),
                        Node("signature", bytes: signed.signature),
                    ]),
            ])
        _ = try await request(stanza, timeout: configuration.requestTimeout)
    }

    /// Makes and stores prekeys. Ids have 24 bits and are never used twice (protocol.md 9.4).
    func newPreKeys(_ count: Int, uploaded: Bool) async throws -> [PreKeyPair] {
        if !preKeyLock.take() { await withCheckedContinuation { preKeyLock.wait($0) } }
        defer { preKeyLock.giveBack() }
        var id = try await store.preKeyState().nextID
        let keys = (0..<max(0, count)).map { _ in
            if id == 0 || id > 0xFF_FFFF { id = 1 }
            defer { id += 1 }
            return PreKeyPair.make(id: id, random: random)
        }
        try await store.commit(DeviceChanges(newPreKeys: keys, uploadedPreKeys: uploaded ? keys.map(\.id) : []))
        return keys
    }

    static func fourBytes(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
    static func threeBytes(_ value: UInt32) -> [UInt8] { [16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }

    /// Below so many keys at the server new ones are uploaded (protocol.md 7.2).
    static let lowWatermark = 5
}
