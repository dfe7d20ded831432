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

    private var sessions: [Sender.ID: SenderSession] = [:]
    private let readiness = Mutex(Readiness())
    private var lastRenewal: ContinuousClock.Instant = .now
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
    }

    // MARK: Life

    private enum Wakeup: Sendable {
        case tick, hint, shutdown
    }

    /// Leases, connects and keeps senders until shutdown; then closes every connection and hands the leases back.
    package func run() async throws {
        let (wakeups, wake) = AsyncStream<Wakeup>.makeStream()
        await withGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                group.addTask { await Self.tick(wake) }
                if let notifications { group.addTask { await Self.forward(notifications, to: wake) } }
                for await wakeup in wakeups {
                    if wakeup == .shutdown || Task.isCancelled { break }
                    for session in await tend(urgent: wakeup == .hint) {
                        group.addTask { await self.serve(session) }
                    }
                }
                await stopAll()
                group.cancelAll()
            }
        } onGracefulShutdown: {
            wake.yield(.shutdown)
        }
        for listener in readiness.withLock({ $0.listeners }) { listener.finish() }
    }

    /// One look at the leases: renews ours when a third of their life is over or somebody hinted, and takes free ones.
    /// Returns the sessions to start. Trouble with the database is survived: connections stay up while the leases can be trusted.
    private func tend(urgent: Bool) async -> [SenderSession] {
        let start = ContinuousClock.now
        do {
            if urgent || sessions.isEmpty || start - lastRenewal >= configuration.leaseTTL / 3 { try await renew(from: start) }
            return try await acquire(from: start)
        } catch {
            logger.warning("leases could not be kept", metadata: ["error.code": "\((error as? DatabaseError)?.description ?? "\(type(of: error))")"])
            if !isTrusted { await stopAll() }
            return []
        }
    }

    private func renew(from start: ContinuousClock.Instant) async throws {
        let owned = sessions.values.map(\.owner)
        let kept = try await gateway.leases.renew(node: node, owned: owned, ttl: configuration.leaseTTL)
        lastRenewal = start
        trustedUntil.withLock { $0 = start + configuration.leaseTTL * 5 / 6 }
        let keptOwners = Set(kept.map(\.owner))
        for session in sessions.values where !keptOwners.contains(session.owner) {
            logger.warning("lease lost", metadata: ["sender.id": "\(session.owner.sender)"])
            await session.stop()
        }
        for leased in kept {
            if let session = sessions[leased.owner.sender], session.owner == leased.owner { await session.observe(leased) }
        }
    }

    private func acquire(from start: ContinuousClock.Instant) async throws -> [SenderSession] {
        let room = min(200, configuration.limit - sessions.count)
        guard room > 0 else { return [] }
        let taken = try await gateway.leases.acquire(node: node, limit: room, ttl: configuration.leaseTTL)
        var started: [SenderSession] = []
        for leased in taken {
            guard sessions[leased.owner.sender] == nil else { continue }
            let session = SenderSession(
                leased: leased, gateway: gateway, makeClient: clientFactory(isTest: leased.isTest),
                onReadiness: { [weak self] owner, isReady in self?.note(owner, isReady: isReady) }, now: now, logger: logger)
            sessions[leased.owner.sender] = session
            started.append(session)
        }
        return started
    }

    private func serve(_ session: SenderSession) async {
        let isDone = await session.run()
        note(session.owner, isReady: false)
        if sessions[session.owner.sender]?.owner == session.owner { sessions[session.owner.sender] = nil }
        guard isDone else { return }
        await release([session.owner])
    }

    private func stopAll() async {
        let running = Array(sessions.values)
        await withTaskGroup(of: Void.self) { group in
            for session in running { group.addTask { await session.stop() } }
        }
        await release(running.map(\.owner))
    }

    private func release(_ owners: [OwnedSender]) async {
        do {
            try await gateway.leases.release(node: node, owned: owners)
        } catch {
            // The leases run out by themselves.
            logger.warning(
                "leases were not handed back", metadata: ["error.code": "\((error as? DatabaseError)?.description ?? "\(type(of: error))")"])
        }
    }

    // MARK: Transport

    package func send(_ message: ClaimedMessage) async {
        guard let session = sessions[message.sender], session.owner == message.owner else { return }
        do {
            let acknowledgement = try await session.send(message) { [weak self] in self?.isTrusted ?? false }
            try await record {
                _ = try await gateway.outbox.acknowledge(
                    [Acknowledged(message: message.id, owner: message.owner, wireID: message.wireID, serverTime: acknowledgement.time)], now: now())
            }
            Failpoint.hit(.sent)
        } catch let failure as SendFailure {
            await record(SendOutcome(failure, isResend: message.onWireBefore), failure, of: message)
        } catch {
            // The acknowledgement could not be recorded: the message stays on the wire, and is sent again with the same id.
            logger.warning("acknowledgement was not recorded", metadata: ["message.id": "\(message.id)", "error.code": "\(type(of: error))"])
        }
    }

    package nonisolated func readySenders() -> AsyncStream<[OwnedSender]> {
        let (stream, continuation) = AsyncStream<[OwnedSender]>.makeStream(bufferingPolicy: .bufferingNewest(1))
        readiness.withLock { readiness in
            readiness.listeners.append(continuation)
            continuation.yield(Array(readiness.ready))
        }
        return stream
    }

    private func record(_ outcome: SendOutcome, _ failure: SendFailure, of message: ClaimedMessage) async {
        logger.info(
            "message was not sent", metadata: ["message.id": "\(message.id)", "sender.id": "\(message.sender)", "error.code": "\(failure.code)"])
        do {
            try await record {
                switch outcome {
                case .refused(let code, let serverCode, let delay):
                    let retryAt = delay.map { now().addingTimeInterval(Double($0.components.seconds)) }
                    let final = retryAt.map { $0 >= message.expiresAt } ?? true
                    _ = try await gateway.outbox.refused(
                        [Refused(message: message.id, owner: message.owner, failure: code, serverCode: serverCode, retryAt: final ? nil : retryAt)],
                        now: now())
                case .unknown(let delay):
                    let retryAt = now().addingTimeInterval(Double(delay.components.seconds))
                    _ = try await gateway.outbox.unknown([Unknown(message: message.id, owner: message.owner, retryAt: retryAt)], now: now())
                case .leaveToSweep: break
                }
            }
        } catch {
            logger.warning("outcome was not recorded", metadata: ["message.id": "\(message.id)", "error.code": "\(type(of: error))"])
        }
    }

    /// Tries again while the database is away, as long as the lease can be trusted.
    private func record(_ write: () async throws -> Void) async throws {
        while true {
            do { return try await write() } catch let error as DatabaseError where error.isTransient && isTrusted {
                try await ContinuousClock().sleep(for: .milliseconds(500))
            }
        }
    }

    // MARK: Readiness

    private struct Readiness {
        var ready: Set<OwnedSender> = []
        var listeners: [AsyncStream<[OwnedSender]>.Continuation] = []
    }

    private nonisolated func note(_ owner: OwnedSender, isReady: Bool) {
        readiness.withLock { readiness in
            let changed = isReady ? readiness.ready.insert(owner).inserted : readiness.ready.remove(owner) != nil
            guard changed else { return }
            for listener in readiness.listeners { listener.yield(Array(readiness.ready)) }
        }
    }

    private nonisolated var isTrusted: Bool { trustedUntil.withLock { ContinuousClock.now < $0 } }

    private func clientFactory(isTest: Bool) -> @Sendable (SealedDeviceStore, any DeviceObserver) -> WhatsAppClient {
        var settings = isTest ? configuration.test ?? configuration.live : configuration.live
        let gate = gate
        settings.admission = { await gate.pass() }
        return { [settings, dialer, now, logger] store, observer in
            WhatsAppClient(configuration: settings, dialer: dialer, store: store, observer: observer, now: now, logger: logger)
        }
    }

    private static func tick(_ wake: AsyncStream<Wakeup>.Continuation) async {
        wake.yield(.tick)
        while !Task.isCancelled {
            do { try await ContinuousClock().sleep(for: .seconds(1)) } catch { return }
            wake.yield(.tick)
        }
    }

    private static func forward(_ notifications: Notifications, to wake: AsyncStream<Wakeup>.Continuation) async {
        for await _ in notifications.channel(Hint.senders) { wake.yield(.hint) }
    }
}
