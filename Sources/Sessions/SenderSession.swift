import Domain
import Foundation
import Logging
import Postgres
import Primitives
import WhatsApp

/// One sender that this node owns: its device state, its connection, and what became of it. Lives as long as the lease does.
actor SenderSession {
    nonisolated let owner: OwnedSender
    /// Test senders speak to the simulator.
    nonisolated let isTest: Bool
    private let gateway: Gateway
    private let makeClient: @Sendable (SealedDeviceStore, any DeviceObserver) -> WhatsAppClient
    private let onReadiness: @Sendable (OwnedSender, Bool) -> Void
    private let now: @Sendable () -> Date
    private let logger: Logger

    private var client: WhatsAppClient?
    private var state: SenderState
    /// What ended the client's last run.
    private var lastEnd: ConnectionState?
    private var isStopping = false
    private var isRemoving = false
    private var wakeup: CheckedContinuation<Void, Never>?

    init(
        leased: LeasedSender, gateway: Gateway, makeClient: @escaping @Sendable (SealedDeviceStore, any DeviceObserver) -> WhatsAppClient,
        onReadiness: @escaping @Sendable (OwnedSender, Bool) -> Void, now: @escaping @Sendable () -> Date, logger: Logger
    ) {
        owner = leased.owner
        isTest = leased.isTest
        state = leased.state
        isRemoving = leased.state == .removing
        self.gateway = gateway
        self.makeClient = makeClient
        self.onReadiness = onReadiness
        self.now = now
        var logger = logger
        logger[metadataKey: "sender.id"] = "\(leased.owner.sender)"
        self.logger = logger
    }

    // MARK: Life

    /// Connects, pairs or unlinks, whatever the sender's state asks for, until `stop()`. True: the lease is not needed any more.
    func run() async -> Bool {
        while !isStopping {
            do {
                switch state {
                case .removing, .removed: return try await unlink()
                case .unpaired, .loggedOut: return true
                case .replaced, .parked: await waitForChange()
                case .pairing: try await pair()
                case .connecting, .ready, .disconnected, .temporarilyBanned, .clientOutdated: try await connect()
                }
            } catch is AccountGone {
                return true
            } catch {
                logger.warning("sender session failed", metadata: ["error.code": "\(Self.code(of: error))"])
                await pause(.seconds(2))
            }
        }
        return false
    }

    /// Closes the connection, letting running sends finish, and ends `run()`.
    func stop() async {
        isStopping = true
        wake()
        await client?.stop()
    }

    /// The sender's row as a renewal of the lease saw it: a pairing or a removal may have been asked for.
    func observe(_ leased: LeasedSender) async {
        switch leased.state {
        case .removing where !isRemoving:
            isRemoving = true
            state = .removing
            wake()
            // A connected client logs out before it stops; see `unlink`.
            if client == nil { return }
            await logOutOrStop()
        case .pairing where state != .pairing:
            state = .pairing
            wake()
            await client?.stop()
        default: break
        }
    }

    private func connect() async throws {
        let store = try await makeStore()
        guard try await store.credentials() != nil else {
            state = .unpaired
            _ = try await gateway.senders.recordState(owner, .unpaired, code: "no_credentials", now: now())
            return
        }
        await runClient(store)
        guard !isStopping, !isRemoving, state != .pairing else { return }
        switch lastEnd {
        case .loggedOut(let code): try await settle(.loggedOut, code)
        case .replaced: try await settle(.replaced, nil)
        case .parked(let code): try await settle(.parked, code)
        default: break
        }
    }

    private func pair() async throws {
        let store = try await makeStore()
        if try await store.credentials() != nil { try await store.commit(DeviceChanges(erasesDevice: true)) }
        await runClient(store)
        guard !isStopping, !isRemoving else { return }
        if try await store.credentials() != nil {
            // Paired and then ended some other way: what the end says holds.
            state = .connecting
            if case .loggedOut(let code) = lastEnd { try await settle(.loggedOut, code) }
        } else {
            let code: String = if case .parked(let code) = lastEnd { code } else { "pairing_ended" }
            try await gateway.pairing.finish(owner, code: code, now: now())
            state = .unpaired
        }
    }

    /// Unlinks the device from its phone if it can be reached within half a minute, then destroys what it knew.
    private func unlink() async throws -> Bool {
        let store = try await makeStore()
        if try await store.credentials() != nil {
            let reachable = Task { [self] in await runClient(store) }
            let clock = ContinuousClock()
            let end = clock.now.advanced(by: .seconds(30))
            while clock.now < end, client == nil { await pause(.milliseconds(10)) }
            while clock.now < end, let client, await !client.isConnected { await pause(.milliseconds(50)) }
            await logOutOrStop()
            await reachable.value
        }
        _ = try await gateway.senders.purge(owner, as: .removed, now: now())
        return true
    }

    private func logOutOrStop() async {
        guard let client else { return }
        do {
            if await client.isConnected { try await client.logOut() }
        } catch {
            logger.warning("logging out failed", metadata: ["error.code": "\(Self.code(of: error))"])
        }
        await client.stop()
    }

    private func runClient(_ store: SealedDeviceStore) async {
        let client = makeClient(store, SessionObserver(session: self))
        self.client = client
        await client.run()
        self.client = nil
        onReadiness(owner, false)
    }

    private func makeStore() async throws -> SealedDeviceStore {
        SealedDeviceStore(gateway: gateway, sealer: try await gateway.accounts.sealer(for: owner.account), owner: owner, now: now)
    }

    private func settle(_ ended: SenderState, _ code: String?) async throws {
        state = ended
        _ = try await gateway.senders.recordState(owner, ended, code: code, now: now())
    }

    // MARK: Sending

    /// Sends one claimed message over this sender's connection. Records nothing; the caller does.
    /// `isTrusted` is asked just before the ratchet is committed: false means that the lease may be over.
    func send(_ message: ClaimedMessage, isTrusted: @escaping @Sendable () -> Bool) async throws(SendFailure) -> Acknowledgement {
        guard let client else { throw SendFailure(.notReady) }
        let wireID =
            message.onWireBefore && Sabotage.freshIDs.isOn
            ? String(message.wireID.dropLast(6)) + Hex.encode(SystemRandom().bytes(3)).uppercased() : message.wireID
        let outgoing = OutgoingMessage(
            id: wireID, recipientNumber: message.recipient.digits, body: .text(message.body.value), messageSecret: message.messageSecret)
        let store: SealedDeviceStore
        do { store = try await makeStore() } catch { throw SendFailure(.storeFailed, cause: error) }
        let acknowledgement = try await client.send(outgoing) { [gateway, now] preWire in
            guard isTrusted() else { throw PreWireRefusal.lostLease }
            let claim = preWire.build > 1 ? message.rebuilt() : message
            try await gateway.outbox.preWire(claim, owner: message.owner, now: now()) { transaction in
                try await store.write(preWire.changes, sent: preWire.sent, message: message.id, in: transaction)
            }
            Failpoint.hit(.onWire)
        }
        Failpoint.hit(.acknowledged)
        return acknowledgement
    }

    // MARK: What the client tells

    func publish(code text: String, validFor: Duration) async {
        let until = now().addingTimeInterval(Double(validFor.components.seconds))
        do {
            _ = try await gateway.pairing.publish(owner, code: Pairing.Code(text: text, validUntil: until), now: now())
        } catch {
            logger.warning("pairing code was not published", metadata: ["error.code": "\(Self.code(of: error))"])
        }
    }

    func changed(_ connection: ConnectionState) async {
        lastEnd = connection
        onReadiness(owner, connection == .ready)
        let (next, code): (SenderState?, String?) =
            switch connection {
            case .connecting: state == .pairing ? (nil, nil) : (.connecting, nil)
            case .pairing: (nil, nil)
            case .ready: (.ready, nil)
            case .disconnected(let code): state == .pairing ? (nil, nil) : (.disconnected, code)
            case .temporarilyBanned(let code, _): (.temporarilyBanned, "ban_\(code)")
            case .clientOutdated: (.clientOutdated, nil)
            case .loggedOut, .replaced, .parked, .stopped: (nil, nil)
            }
        guard let next, !isRemoving else { return }
        state = next
        do {
            if try await !gateway.senders.recordState(owner, next, code: code, now: now()) { await client?.stop() }
        } catch {
            logger.warning("sender state was not recorded", metadata: ["error.code": "\(Self.code(of: error))"])
        }
    }

    func paired() {
        if !isRemoving { state = .connecting }
    }

    /// Commits what a receipt says; only then is it acknowledged to the server.
    func record(_ receipt: Receipt) async throws {
        let kind: ReceiptRecord.Kind
        switch receipt.kind {
        case .delivered: kind = .delivered
        case .read, .played: kind = .read
        case .retry, .serverError, .ownDevice, .other: return
        }
        let at = receipt.time ?? now()
        _ = try await gateway.outbox.recordReceipts(
            receipt.messageIDs.map { ReceiptRecord(owner: owner, wireID: $0, kind: kind, at: at) }, now: now())
        Failpoint.hit(.delivered)
    }

    // MARK: Waiting

    private func waitForChange() async {
        guard !isStopping else { return }
        await withCheckedContinuation { wakeup = $0 }
    }

    private func wake() {
        wakeup?.resume()
        wakeup = nil
    }

    private func pause(_ duration: Duration) async {
        // Cancelled: the loop that called looks at its own condition again.
        do { try await ContinuousClock().sleep(for: duration) } catch {}
    }

    private static func code(of error: any Error) -> String {
        if let failure = error as? DatabaseError { return failure.description }
        return "\(type(of: error))"
    }
}
