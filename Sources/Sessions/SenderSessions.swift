package import Domain
package import Foundation
package import Logging
package import Postgres
package import Primitives
package import ServiceLifecycle
import Synchronization
package import WhatsApp

/// The linked devices of this node: leases senders, keeps their connections alive, and sends over them.
///
///     let sessions = SenderSessions(gateway: gateway, node: node, configuration: configuration, logger: logger)
///     // in the service group: sessions.run()
///
/// A sender is owned through its lease row, under an epoch. Every write names the epoch and changes nothing once it is over; before any byte
/// leaves, this node also asks its own clock whether the lease can still be trusted (reliability.md §2.5).
package actor SenderSessions: Service, Transport {
    package struct Configuration: Sendable {
        /// For live senders.
        package var live: WhatsAppConfiguration
        /// For test senders: the simulator. Nil: test senders are left alone.
        package var test: WhatsAppConfiguration?
        package var leaseTTL: Duration
        /// Most senders this node connects.
        package var limit: Int
        /// Logins this node begins per second, all senders together.
        package var loginsPerSecond: Int

        package init(live: WhatsAppConfiguration, test: WhatsAppConfiguration?, leaseTTL: Duration, limit: Int, loginsPerSecond: Int = 5) {
            self.live = live
            self.test = test
            self.leaseTTL = leaseTTL
            self.limit = limit
            self.loginsPerSecond = loginsPerSecond
        }
    }

    private let gateway: Gateway
    private let node: String
    private let configuration: Configuration
    private let notifications: Notifications?
    private let dialer: Dialer
    private let gate: LoginGate
    private let now: @Sendable () -> Date
    private let logger: Logger

    /// Changed by the actor alone; read by every send.
    private nonisolated let directory = Mutex<[Sender.ID: SenderSession]>([:])
    private nonisolated let reads: SignalReads
    private var lastTidying = ContinuousClock.Instant.now
    private var lastRenewal = ContinuousClock.Instant.now
    private var nextAcquisition = ContinuousClock.Instant.now
    private let readiness = Mutex(Readiness())
    private let requests = Mutex(Requests())
    private let wakeups: AsyncStream<Void>
    private let wakeup: AsyncStream<Void>.Continuation
    /// Until when the leases can be trusted without asking the database: start of the last renewal + TTL − a sixth.
    private let trustedUntil = Mutex(ContinuousClock.now)

    /// - Parameters:
    ///   - node: names this start of this process; never used again after a restart.
    ///   - notifications: shortens waiting; nil: polling only.
    package init(
        gateway: Gateway, node: String, configuration: Configuration, notifications: Notifications? = nil, dialer: Dialer = Dialer(),
        now: @escaping @Sendable () -> Date = { Date() }, logger: Logger
    ) {
        self.gateway = gateway
        self.node = node
        self.configuration = configuration
        self.notifications = notifications
        self.dialer = dialer
        self.now = now
        self.logger = logger
        gate = LoginGate(perSecond: configuration.loginsPerSecond)
        reads = SignalReads(gateway.databases.engine)
        (wakeups, wakeup) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    // MARK: Life

    /// What others want from the loop in `run()`; a wake-up tells it to look.
    private struct Requests {
        var isShutdown = false
        /// Somebody hinted: look at once, not at the next turn.
        var isUrgent = false
        var lost: [OwnedSender] = []
        var lapsed: [OwnedSender] = []
        var superfluous: [OwnedSender] = []
    }

    /// What one turn of the loop leaves to tasks of their own, so that one sender never holds up the leases of the others.
    private enum Work: Sendable {
        case serve(SenderSession)
        case observe(SenderSession, LeasedSender, readAt: ContinuousClock.Instant)
        case abandon(SenderSession)
        case endConnection(SenderSession, drains: Bool)
        case handOver(SenderSession)
    }

    /// Leases, connects and keeps senders until shutdown; then closes every connection and hands the leases back.
    package func run() async throws {
        await withGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                group.addTask { await self.tick() }
                if let notifications { group.addTask { await self.forward(notifications) } }
                for await _ in wakeups {
                    let asked = requests.withLock { asked in
                        defer { asked = Requests(isShutdown: asked.isShutdown) }
                        return asked
                    }
                    if asked.isShutdown || Task.isCancelled { break }
                    for work in await tend(asked) { group.addTask { await self.perform(work) } }
                }
                await stopAll()
                group.cancelAll()
            }
        } onGracefulShutdown: {
            self.requests.withLock { $0.isShutdown = true }
            self.wakeup.yield()
        }
        for listener in readiness.withLock({ Array($0.listeners.values) }) { listener.finish() }
    }

    /// One look at the leases: renews ours when a third of their life is over or somebody hinted, and takes free ones now and then.
    /// Trouble with the database is survived: connections stay up while the leases can be trusted.
    private func tend(_ asked: Requests) async -> [Work] {
        let start = ContinuousClock.now
        tidy(start)
        var work =
            asked.lost.compactMap { session(of: $0).map(Work.abandon) }
            + asked.lapsed.compactMap { session(of: $0).map { .endConnection($0, drains: false) } }
            + asked.superfluous.compactMap { session(of: $0).map { .endConnection($0, drains: true) } }
        do {
            if asked.isUrgent || sessions.isEmpty || start - lastRenewal >= configuration.leaseTTL / 3 { work += try await renew(from: start) }
            if asked.isUrgent || start >= nextAcquisition { work += try await share(from: start) }
        } catch {
            logger.warning("leases could not be kept", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
            if !isTrusted { work += sessions.values.map(Work.abandon) }
        }
        return work
    }

    private func renew(from start: ContinuousClock.Instant) async throws -> [Work] {
        let held = Array(sessions.values)
        let kept = try await gateway.leases.renew(node: node, owned: held.map(\.owner), ttl: configuration.leaseTTL)
        lastRenewal = start
        let byOwner = Dictionary(kept.map { ($0.owner, $0) }) { first, _ in first }
        // Before anything is trusted again: a session whose lease is gone must not log in, which would throw its new owner out.
        for session in held where byOwner[session.owner] == nil { session.distrust() }
        trustedUntil.withLock { $0 = start + configuration.leaseTTL * 5 / 6 }
        return held.map { session in
            if let leased = byOwner[session.owner] { return .observe(session, leased, readAt: start) }
            logger.warning("lease lost", metadata: ["sender.id": "\(session.owner.sender)"])
            return .abandon(session)
        }
    }

    /// Takes free senders up to this node's share of all, or hands some over when it holds more and others have room.
    private func share(from start: ContinuousClock.Instant) async throws -> [Work] {
        nextAcquisition = start + configuration.leaseTTL / 10
        let board = try await gateway.leases.board(node: node, capacity: configuration.limit, ttl: configuration.leaseTTL)
        let surplus = board.surplus(of: node)
        if surplus > 0 {
            // Those that nobody writes to now, if there are any.
            let leaving = sessions.values.sorted { $0.memory.count < $1.memory.count }.prefix(surplus)
            logger.info("senders handed over to other nodes", metadata: ["count": "\(leaving.count)"])
            return leaving.map(Work.handOver)
        }
        let room = min(Self.acquisitionLimit, board.room(of: node), configuration.limit - sessions.count)
        guard room > 0 else { return [] }
        let taken = try await gateway.leases.acquire(node: node, limit: room, ttl: configuration.leaseTTL)
        if taken.count == Self.acquisitionLimit { nextAcquisition = start }
        var work: [Work] = []
        var early: [OwnedSender] = []
        for leased in taken {
            guard sessions[leased.owner.sender] == nil else {
                // Our own earlier session is still ending: one at a time.
                early.append(leased.owner)
                continue
            }
            let session = SenderSession(leased: leased, gateway: gateway, place: place(isTest: leased.isTest), now: now, logger: logger)
            directory.withLock { $0[leased.owner.sender] = session }
            work.append(.serve(session))
        }
        await release(early)
        return work
    }

    private func perform(_ work: Work) async {
        switch work {
        case .serve(let session): await serve(session)
        case .observe(let session, let leased, let readAt): await session.observe(leased, readAt: readAt)
        case .abandon(let session): await session.abandon()
        case .endConnection(let session, let drains): await session.endConnection(drains: drains)
        case .handOver(let session):
            await session.stop()
            await release([session.owner], handedOverAt: now())
        }
    }

    private nonisolated var sessions: [Sender.ID: SenderSession] { directory.withLock { $0 } }

    /// Every few seconds sessions forget what they need not remember.
    private func tidy(_ moment: ContinuousClock.Instant) {
        guard moment - lastTidying >= Self.tidyingInterval else { return }
        lastTidying = moment
        let now = now()
        for session in sessions.values { session.memory.tidy(now: now) }
    }

    private func serve(_ session: SenderSession) async {
        let isDone = await session.run()
        note(session.owner, isReady: false)
        directory.withLock { if $0[session.owner.sender]?.owner == session.owner { $0[session.owner.sender] = nil } }
        guard isDone else { return }
        await release([session.owner])
    }

    nonisolated func session(of owner: OwnedSender) -> SenderSession? {
        guard let session = directory.withLock({ $0[owner.sender] }), session.owner == owner else { return nil }
        return session
    }

    private func stopAll() async {
        let running = Array(sessions.values)
        await withTaskGroup(of: Void.self) { group in
            for session in running { group.addTask { await session.stop() } }
        }
        await release(running.map(\.owner), handedOverAt: now())
        do {
            try await gateway.leases.leave(node: node)
        } catch {
            // It counts as gone when it was not seen for a while.
            logger.warning("node did not sign off", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
    }

    private func release(_ owners: [OwnedSender], handedOverAt: Date? = nil) async {
        guard !owners.isEmpty else { return }
        do {
            try await gateway.leases.release(node: node, owned: owners, handedOverAt: handedOverAt)
        } catch {
            // The leases run out by themselves.
            logger.warning("leases were not handed back", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
    }

    // MARK: Transport

    package nonisolated func send(_ message: ClaimedMessage, left: @escaping @Sendable () -> Void) async {
        // Without the session the lease is over; whoever takes it next finds the message.
        let other = Sabotage.resendFromOtherSender.isOn && message.onWireBefore ? sessions.values.first { $0.owner != message.owner } : nil
        guard let session = other ?? session(of: message.owner) else { return }
        do {
            let acknowledgement = try await session.send(message, left: left)
            session.watch.acknowledged(message.wireID)
            try await record { _ = try await gateway.outbox.acknowledge(Acknowledged(message, acknowledgement), now: now()) }
            Failpoint.hit(.sent)
        } catch let failure as SendFailure {
            await record(SendOutcome(failure, isResend: message.onWireBefore, refusals: message.dispatch.refusals), failure, of: message)
        } catch {
            // The acknowledgement could not be recorded: the message stays on the wire, and is sent again with the same id.
            logger.warning("acknowledgement was not recorded", metadata: ["message.id": "\(message.id)", "error.code": "\(type(of: error))"])
        }
    }

    package nonisolated func readySenders() -> AsyncStream<[OwnedSender]> {
        let (stream, continuation) = AsyncStream<[OwnedSender]>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let id = readiness.withLock { readiness in
            readiness.lastListener += 1
            readiness.listeners[readiness.lastListener] = continuation
            continuation.yield(Array(readiness.ready))
            return readiness.lastListener
        }
        continuation.onTermination = { [weak self] _ in self?.readiness.withLock { $0.listeners[id] = nil } }
        return stream
    }

    private nonisolated func record(_ outcome: SendOutcome, _ failure: SendFailure, of message: ClaimedMessage) async {
        logger.info(
            "message was not sent", metadata: ["message.id": "\(message.id)", "sender.id": "\(message.sender)", "error.code": "\(failure.code)"])
        do {
            try await record {
                let now = now()
                if let refused = outcome.refusal(of: message, preWires: failure.preWires, at: now) {
                    _ = try await gateway.outbox.refused([refused], now: now)
                } else if case .unknown(let delay) = outcome {
                    let retryAt = now.addingTimeInterval(delay / .seconds(1))
                    _ = try await gateway.outbox.unknown([Unknown(message: message.id, owner: message.owner, retryAt: retryAt)], now: now)
                }
            }
        } catch {
            logger.warning("outcome was not recorded", metadata: ["message.id": "\(message.id)", "error.code": "\(type(of: error))"])
        }
    }

    /// Tries again while the database is away, as long as the lease can be trusted.
    private nonisolated func record(_ write: () async throws -> Void) async throws {
        while true {
            do { return try await write() } catch let error as DatabaseError where error.mayBeRecordedAgain && isTrusted {
                try await ContinuousClock().sleep(for: .milliseconds(500))
            }
        }
    }

    // MARK: Readiness

    private struct Readiness {
        var ready: Set<OwnedSender> = []
        var lastListener = 0
        var listeners: [Int: AsyncStream<[OwnedSender]>.Continuation] = [:]
    }

    private nonisolated func note(_ owner: OwnedSender, isReady: Bool) {
        readiness.withLock { readiness in
            let changed = isReady ? readiness.ready.insert(owner).inserted : readiness.ready.remove(owner) != nil
            guard changed else { return }
            for listener in readiness.listeners.values { listener.yield(Array(readiness.ready)) }
        }
    }

    private nonisolated var isTrusted: Bool { trustedUntil.withLock { ContinuousClock.now < $0 } }

    private nonisolated func place(isTest: Bool) -> SessionPlace {
        var place = SessionPlace(makeClient: nil, isTrusted: { [weak self] in self?.isTrusted ?? false }) { [weak self] owner, notice in
            self?.take(notice, of: owner)
        }
        place.reads = reads
        guard let settings = isTest ? configuration.test : configuration.live else { return place }
        let lapsed: @Sendable (OwnedSender) -> Void = { [weak self] owner in self?.take(.trustLapsed, of: owner) }
        place.makeClient = { [gate, dialer, now, logger] store, observer, turn in
            var settings = settings
            let permission = WritePermission(isTrusted: store.isTrusted) { lapsed(store.owner) }
            settings.mayWrite = permission.mayWrite
            settings.admission = {
                await gate.pass(turn)
                // What was refused ends the client; until then it does not dial.
                if !permission.mayWrite() { await turn.sleep(for: .seconds(60)) }
            }
            return WhatsAppClient(configuration: settings, dialer: dialer, store: store, observer: observer, now: now, logger: logger)
        }
        return place
    }

    private nonisolated func take(_ notice: SessionPlace.Notice, of owner: OwnedSender) {
        switch notice {
        case .readiness(let isReady): note(owner, isReady: isReady)
        case .leaseLost:
            requests.withLock { $0.lost.append(owner) }
            wakeup.yield()
        case .trustLapsed:
            logger.warning("trust in the lease lapsed, connection closed", metadata: ["sender.id": "\(owner.sender)"])
            requests.withLock { $0.lapsed.append(owner) }
            wakeup.yield()
        case .connectionSuperfluous:
            requests.withLock { $0.superfluous.append(owner) }
            wakeup.yield()
        }
    }

    private nonisolated func tick() async {
        wakeup.yield()
        while !Task.isCancelled {
            do { try await ContinuousClock().sleep(for: .seconds(1)) } catch { return }
            wakeup.yield()
        }
    }

    private nonisolated func forward(_ notifications: Notifications) async {
        for await _ in notifications.channel(Hint.senders) {
            requests.withLock { $0.isUrgent = true }
            wakeup.yield()
        }
    }

    /// Senders taken in one transaction.
    private static let acquisitionLimit = 200
    private static let tidyingInterval: Duration = .seconds(5)
}

extension DatabaseError {
    /// Outcomes and receipts may be recorded twice: what stands there already is left as it is. So a commit of unknown fate is tried again.
    var mayBeRecordedAgain: Bool { isTransient || code == .commitUnknown }
}
