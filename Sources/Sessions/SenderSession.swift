import Domain
import Foundation
import Logging
import Postgres
import Primitives
import Synchronization
import WhatsApp

/// One sender that this node owns: its device state, its connection, and what became of it. Lives as long as the lease does.
///
/// `run()` does one thing after the other; everybody else only says what is wanted (`stop`, `observe`) and ends what is under way.
actor SenderSession {
    nonisolated let owner: OwnedSender
    nonisolated let watch: SenderWatch
    private let gateway: Gateway
    private let place: SessionPlace
    private let now: @Sendable () -> Date
    private let logger: Logger

    private var client: WhatsAppClient?
    /// The wait of the present client for its login's turn.
    private var turn: EndableSleep?
    private var state: SenderState
    private var stateCode: String?
    /// When the present state had been recorded; nil: it is what the row said when the lease was taken.
    private var toldAt: ContinuousClock.Instant?
    /// What ended the client's last run.
    private var lastEnd: ConnectionState?

    private var isStopping = false
    /// It was abandoned, and stops because of that.
    private var isEnding = false
    private var isRemoving: Bool
    private var isPairingWanted: Bool
    /// The request that the present or last pairing answers; only another one starts another.
    private var servedRequest = Date.distantPast
    /// Set before anything else when the lease is known to be lost.
    private let isAbandoned = Mutex(false)

    private var isRunning = false
    private var finishWaiters: [CheckedContinuation<Void, Never>] = []
    private var wakeup: CheckedContinuation<Void, Never>?
    private let patience = EndableSleep()
    /// What its stores remember. One connection at a time uses it.
    nonisolated let memory = DeviceMemory()

    /// How long a removal tries to reach WhatsApp before the device's state is destroyed all the same.
    private static let unlinkLimit: Duration = .seconds(30)

    init(leased: LeasedSender, gateway: Gateway, place: SessionPlace, now: @escaping @Sendable () -> Date, logger: Logger) {
        owner = leased.owner
        state = leased.state
        isRemoving = leased.state == .removing
        isPairingWanted = leased.state == .pairing
        self.gateway = gateway
        self.place = place
        self.now = now
        var logger = logger
        logger[metadataKey: "sender.id"] = "\(leased.owner.sender)"
        self.logger = logger
        watch = SenderWatch(owner: leased.owner, health: gateway.health, now: now, logger: logger)
    }

    // MARK: Life

    /// Connects, pairs or unlinks, whatever the sender's state asks for, until `stop()` or cancellation. True: the lease is not needed any more.
    func run() async -> Bool {
        isRunning = true
        defer {
            isRunning = false
            for waiter in finishWaiters { waiter.resume() }
            finishWaiters = []
        }
        while !isStopping, !Task.isCancelled {
            do {
                if try await step() { return true }
            } catch is AccountGone {
                return true
            } catch  where Self.isUnreadable(error) {
                // It harms nobody but itself.
                logger.error("device state cannot be opened", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
                isPairingWanted = false
                await settle(.parked, "credentials_unreadable")
            } catch {
                logger.warning("sender session failed", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
                await patience.sleep(for: .seconds(2))
            }
        }
        return false
    }

    /// Closes the connection, letting running sends finish, and ends `run()`; returns when that is over. Never called from the session's own task.
    func stop() async {
        await stop(drains: true)
    }

    private func stop(drains: Bool) async {
        isStopping = true
        patience.end()
        wake()
        await endConnection(drains: drains)
        if isRunning { await withCheckedContinuation { finishWaiters.append($0) } }
    }

    /// The lease is lost: from this moment on nothing leaves, and nothing connects. `abandon()` has to follow.
    nonisolated func distrust() { isAbandoned.withLock { $0 = true } }

    /// The lease is lost: from this moment on nothing leaves, then as `stop()`. A second call does nothing.
    nonisolated func abandon() async {
        distrust()
        guard await beginsToEnd() else { return }
        memory.clear()
        await stop(drains: false)
    }

    private func beginsToEnd() -> Bool {
        defer { isEnding = true }
        return !isEnding
    }

    /// Ends the present connection; `run()` goes on with what is wanted next.
    /// - Parameter drains: running sends may finish first.
    func endConnection(drains: Bool = true) async {
        turn?.end()
        await client?.stop(drains: drains)
    }

    /// The sender's row as a renewal of the lease saw it: a pairing or a removal may have been asked for, or our last word may not have got through.
    /// - Parameter readAt: the row was read after that.
    func observe(_ leased: LeasedSender, readAt: ContinuousClock.Instant) async {
        await watch.judge()
        if leased.state == .removing {
            guard !isRemoving else { return }
            isRemoving = true
            wake()
            await logOut()
            await endConnection()
        } else if leased.state == .pairing, let asked = leased.pairingRequestedAt, asked != servedRequest {
            guard !isPairingWanted, !isRemoving else { return }
            isPairingWanted = true
            wake()
            await endConnection()
        } else if leased.state == .connecting, state == .parked || state == .replaced, toldAt.map({ $0 < readAt }) ?? true {
            // Our word stood there before: a person wants it to connect again.
            (state, stateCode) = (.connecting, nil)
            wake()
        } else if leased.state != state, state != .pairing, !isRemoving, !isPairingWanted {
            await tell()
        }
    }

    // MARK: Steps

    private func step() async throws -> Bool {
        if isRemoving { return try await unlink() }
        if isPairingWanted {
            try await pair()
            return false
        }
        switch state {
        case .unpaired, .loggedOut, .removed: return true
        case .replaced, .parked: await waitForChange()
        case .removing: isRemoving = true
        case .pairing: isPairingWanted = true
        case .connecting, .ready, .disconnected, .temporarilyBanned, .clientOutdated: try await connect()
        }
        return false
    }

    private func connect() async throws {
        guard place.makeClient != nil else { return await waitForChange() }
        let store = try await makeStore()
        guard try await store.credentials() != nil else { return await settle(.unpaired, "no_credentials") }
        await runClient(store)
        await settleEnd()
    }

    private func pair() async throws {
        // Over meanwhile, or paired already: a late look at the row must not undo that.
        guard place.makeClient != nil, let request = try await gateway.pairing.pending([owner], now: now()).first else {
            isPairingWanted = false
            return try await endPairing(code: place.makeClient == nil ? "no_simulator" : "pairing_expired")
        }
        let store = try await makeStore()
        try await store.commit(DeviceChanges(erasesDevice: true))
        servedRequest = request.requestedAt
        isPairingWanted = false
        state = .pairing
        await runClient(store)
        guard !isStopping, !isRemoving, !isPairingWanted else { return }
        guard state == .pairing else { return await settleEnd() }
        let code: String = if case .parked(let code) = lastEnd { code } else { "pairing_ended" }
        try await endPairing(code: code)
    }

    private func endPairing(code: String) async throws {
        if try await makeStore().credentials() != nil {
            state = .connecting
        } else {
            try await gateway.pairing.finish(owner, code: code, now: now())
            state = .unpaired
        }
    }

    /// Unlinks the device from its phone if it can be reached soon, then destroys what it knew.
    private func unlink() async throws -> Bool {
        if place.makeClient != nil, let store = try await linkedStore() {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await self.giveUp() }
                await runClient(store)  // logs out once it is ready; see `changed`
                group.cancelAll()
            }
        }
        guard !isStopping, !Task.isCancelled else { return false }
        _ = try await gateway.senders.purge(owner, as: .removed, now: now())
        return true
    }

    /// Nil: no device is linked, or its credentials cannot be read and so cannot unlink it.
    private func linkedStore() async throws -> SealedDeviceStore? {
        do {
            let store = try await makeStore()
            return try await store.credentials() == nil ? nil : store
        } catch  where Self.isUnreadable(error) {
            return nil
        }
    }

    private func giveUp() async {
        do { try await ContinuousClock().sleep(for: Self.unlinkLimit) } catch { return }
        logger.warning("unlinking gave up")
        await endConnection()
    }

    private func logOut() async {
        guard let client, await client.isConnected else { return }
        do {
            try await client.logOut()
        } catch {
            logger.warning("logging out failed", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
            place.notice(owner, .connectionSuperfluous)
        }
    }

    private func runClient(_ store: SealedDeviceStore) async {
        guard !isStopping, let makeClient = place.makeClient else { return }
        // `abandon()` is on its way and ends this sleep.
        if isAbandoned.withLock({ $0 }) { return await patience.sleep(for: .seconds(1)) }
        let turn = EndableSleep()
        memory.clear()
        let client = makeClient(store, SessionObserver(session: self), turn)
        lastEnd = nil
        self.turn = turn
        self.client = client
        await client.run()
        self.client = nil
        self.turn = nil
        place.notice(owner, .readiness(false))
    }

    private func makeStore() async throws -> SealedDeviceStore {
        SealedDeviceStore(
            gateway: gateway, sealer: try await gateway.accounts.sealer(for: owner.account), owner: owner,
            isTrusted: { [weak self] in self?.mayWrite ?? false }, now: now, memory: memory, reads: place.reads)
    }

    private nonisolated var mayWrite: Bool { !isAbandoned.withLock { $0 } && place.isTrusted() }

    // MARK: States

    private func settleEnd() async {
        guard !isStopping, !isRemoving, !isPairingWanted else { return }
        switch lastEnd {
        case .loggedOut(let code): await settle(.loggedOut, code)
        case .replaced: await settle(.replaced, nil)
        case .parked(let code): await settle(.parked, code)
        default: break
        }
    }

    private func settle(_ ended: SenderState, _ code: String?) async {
        state = ended
        stateCode = code
        await tell()
    }

    /// Records the present state. What could not be recorded is noticed at the next renewal of the lease, or by the sender's next owner.
    private func tell() async {
        do {
            if try await !gateway.senders.recordState(owner, state, code: stateCode, now: now()) { place.notice(owner, .leaseLost) }
            toldAt = .now
        } catch {
            logger.warning("sender state was not recorded", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
    }

    // MARK: Sending

    /// Sends one claimed message over this sender's connection. Records nothing; the caller does.
    /// The lease's trust is asked before the ratchet is committed and once more before the first byte (reliability.md §2.5, fence 2).
    /// `left` is called when its bytes are about to leave.
    func send(_ message: ClaimedMessage, left: @escaping @Sendable () -> Void = {}) async throws(SendFailure) -> Acknowledgement {
        guard let client else { throw SendFailure(.notReady) }
        let wireID =
            message.onWireBefore && Sabotage.freshIDs.isOn
            ? String(message.wireID.dropLast(6)) + Hex.encode(SystemRandom().bytes(3)).uppercased() : message.wireID
        let outgoing = OutgoingMessage(
            id: wireID, recipientNumber: message.recipient.digits, body: .text(message.body.value), messageSecret: message.messageSecret)
        let store: SealedDeviceStore
        do { store = try await makeStore() } catch { throw SendFailure(.storeFailed, cause: error) }
        let preWires = Mutex(0)
        do {
            let acknowledgement = try await client.send(outgoing) { [gateway, now] preWire in
                guard store.isTrusted() else { throw SealedDeviceStore.StaleEpoch() }
                let claim = preWire.build > 1 ? message.rebuilt() : message
                let revision = store.memory.nextRevision()
                let writes = try store.writes(preWire.changes, revision: revision, sent: preWire.sent, message: message.id)
                Failpoint.hit(.encrypted, on: message.body.value)
                let awaited = message.dispatch.isStored ? [] : [Outbox.awaiting(preWire.deviceNumbers, for: message)]
                let ticket = try gateway.outbox.queuePreWire(claim, owner: message.owner, now: now(), writes: awaited, device: writes)
                return {
                    do {
                        try await ticket.value()
                    } catch {
                        store.memory.doubted(preWire.changes)
                        throw error
                    }
                    store.memory.committed(preWire.changes, revision: revision)
                    preWires.withLock { $0 += 1 }
                    left()
                    Failpoint.hit(.onWire)
                    guard store.isTrusted() else { throw SealedDeviceStore.StaleEpoch() }
                }
            }
            Failpoint.hit(.acknowledged)
            return acknowledgement
        } catch {
            if error.cause as? PreWireRefusal == .lostLease { place.notice(owner, .leaseLost) }
            var failure = error
            failure.preWires = preWires.withLock { $0 }
            throw failure
        }
    }

    // MARK: What the client tells. It is awaited by the client's own tasks, so nothing here may wait for the client's end.

    func publish(code text: String, validFor: Duration) async {
        let until = now().addingTimeInterval(Double(validFor.components.seconds))
        do {
            guard try await gateway.pairing.publish(owner, code: Pairing.Code(text: text, validUntil: until), now: now()) else {
                // Its time is over, or the epoch is: nobody will see the code.
                return place.notice(owner, .connectionSuperfluous)
            }
        } catch {
            logger.warning("pairing code was not published", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
    }

    func changed(_ connection: ConnectionState) async {
        lastEnd = connection
        if isRemoving {
            if connection == .ready { await logOut() }
            return
        }
        place.notice(owner, .readiness(connection == .ready))
        guard !isPairingWanted else { return }
        switch connection {
        case .connecting where state != .pairing: await settle(.connecting, nil)
        case .disconnected(let code) where state != .pairing: await settle(.disconnected, code)
        case .ready: await settle(.ready, nil)
        case .temporarilyBanned(let code, let until):
            await watch.banned(until: until)
            await settle(.temporarilyBanned, "ban_\(code)")
        case .clientOutdated: await settle(.clientOutdated, nil)
        case .connecting, .disconnected, .pairing, .loggedOut, .replaced, .parked, .stopped: break
        }
    }

    func paired() { state = .connecting }

    /// Commits what receipts say; only then are they acknowledged to the server. The server repeats a receipt only after a reconnect, so this tries
    /// again while the database is away and the lease can be trusted.
    func record(_ receipts: [Receipt]) async throws {
        let moment = now()
        let records = receipts.flatMap { receipt -> [ReceiptRecord] in
            let kind: ReceiptRecord.Kind
            switch receipt.kind {
            case .delivered: kind = .delivered
            case .read, .played: kind = .read
            case .retry, .serverError, .ownDevice, .other: return []
            }
            return receipt.messageIDs.map {
                ReceiptRecord(owner: owner, wireID: $0, kind: kind, at: receipt.time ?? moment, device: Int(receipt.device.device))
            }
        }
        guard !records.isEmpty else { return }
        Failpoint.hit(.receiptRead)
        while true {
            do {
                _ = try await gateway.outbox.recordReceipts(records, now: now())
                watch.received(records.map(\.wireID))
                if records.contains(where: { $0.kind == .delivered }) { Failpoint.hit(.delivered) }
                if records.contains(where: { $0.kind == .read }) { Failpoint.hit(.read) }
                return
            } catch let error as DatabaseError where error.mayBeRecordedAgain && mayWrite && !isStopping && !Task.isCancelled {
                await patience.sleep(for: .milliseconds(500))
            } catch {
                // On a new connection the server repeats what was not acknowledged.
                place.notice(owner, .connectionSuperfluous)
                throw error
            }
        }
    }

    // MARK: Waiting

    private func waitForChange() async {
        guard !isStopping, !isRemoving, !isPairingWanted else { return }
        await withCheckedContinuation { wakeup = $0 }
    }

    private func wake() {
        wakeup?.resume()
        wakeup = nil
    }

    // MARK: Errors

    /// Neither the database's trouble nor the end of anything: sealed bytes that do not open, or that hold what nobody wrote.
    private static func isUnreadable(_ error: any Error) -> Bool {
        !(error is DatabaseError || error is CancellationError || error is AccountGone || error is SealedDeviceStore.StaleEpoch
            || error is PreWireRefusal)
    }
}
