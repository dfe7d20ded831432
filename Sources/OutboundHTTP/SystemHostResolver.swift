import Glibc
import Synchronization

/// The operating system's resolver, on threads of its own. Callers who ask for the same name share one lookup; answers are kept for ten
/// seconds, failures for two, so that a name with thousands of due requests costs one lookup and a dead name server few threads.
///
/// A lookup that takes longer than its callers wait goes on by itself, and its answer serves who asks next.
package final class SystemHostResolver: HostResolver {
    /// Blocks until it knows. The default asks `getaddrinfo`.
    package typealias Lookup = @Sendable (_ host: String) -> Result<[IPAddress], OutboundFailure>
    private typealias Answer = Result<[IPAddress], OutboundFailure>

    private struct State {
        var known: [String: (answer: Answer, until: ContinuousClock.Instant)] = [:]
        /// Who waits for the lookup of a name that is under way.
        var waiters: [String: [UInt64: CheckedContinuation<Answer, Never>]] = [:]
        /// Cancelled before they began to wait.
        var canceled: Set<UInt64> = []
        var lastID: UInt64 = 0
    }

    private static let knownLimit = 4_096
    private let lifetime: Duration
    private let failureLifetime: Duration
    private let lookup: Lookup
    private let now: @Sendable () -> ContinuousClock.Instant
    private let threads: LookupThreads
    private let state = Mutex(State())

    package init(
        threads: Int = 16, queueLimit: Int = 1_024, lifetime: Duration = .seconds(10), failureLifetime: Duration = .seconds(2),
        now: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }, lookup: @escaping Lookup = SystemHostResolver.getaddrinfo
    ) {
        self.threads = LookupThreads(most: threads, queueLimit: queueLimit)
        self.lifetime = lifetime
        self.failureLifetime = failureLifetime
        self.now = now
        self.lookup = lookup
    }

    package func addresses(of host: String, until deadline: ContinuousClock.Instant) async throws(OutboundFailure) -> [IPAddress] {
        let known = state.withLock { $0.known[host] }
        if let known, known.until > now() { return try known.answer.get() }
        return try await withTaskGroup(of: Answer?.self) { group in
            group.addTask { await self.wait(for: host) }
            group.addTask {
                try? await Task.sleep(until: deadline, clock: .continuous)  // cancelled: the other child was first
                return nil
            }
            defer { group.cancelAll() }
            let first = await group.next() ?? nil
            return first ?? .failure(Task.isCancelled ? .canceled() : .timeout("during the lookup"))
        }.get()
    }

    private func wait(for host: String) async -> Answer {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        let answer = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in join(host, id, continuation) }
        } onCancel: {
            let waiter = state.withLock { state in
                let waiter = state.waiters[host]?.removeValue(forKey: id)
                if waiter == nil { state.canceled.insert(id) }
                return waiter
            }
            waiter?.resume(returning: .failure(.canceled()))
        }
        state.withLock { _ = $0.canceled.remove(id) }
        return answer
    }

    /// Waits for the lookup that is under way, or starts one.
    private func join(_ host: String, _ id: UInt64, _ continuation: CheckedContinuation<Answer, Never>) {
        let (isCanceled, isFirst) = state.withLock { state in
            guard !state.canceled.contains(id) else { return (true, false) }
            let isFirst = state.waiters[host] == nil
            state.waiters[host, default: [:]][id] = continuation
            return (false, isFirst)
        }
        if isCanceled { return continuation.resume(returning: .failure(.canceled())) }
        guard isFirst else { return }
        let isQueued = threads.run { [weak self, lookup] in
            let answer = lookup(host)
            self?.finish(host, answer)
        }
        if !isQueued { finish(host, .failure(OutboundFailure(.overloaded, "too many lookups wait", isTransient: true)), isKept: false) }
    }

    private func finish(_ host: String, _ answer: Answer, isKept: Bool = true) {
        let end = now() + ((try? answer.get()) == nil ? failureLifetime : lifetime)
        let waiters = state.withLock { state in
            if isKept {
                if state.known.count >= Self.knownLimit { state.known.removeAll(keepingCapacity: true) }
                state.known[host] = (answer, end)
            }
            return state.waiters.removeValue(forKey: host) ?? [:]
        }
        for waiter in waiters.values { waiter.resume(returning: answer) }
    }

    // MARK: The system

    /// Asks the C library: hosts file, DNS, whatever the machine is set up with. Sorted by RFC 6724.
    package static func getaddrinfo(_ host: String) -> Result<[IPAddress], OutboundFailure> {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = Glibc.getaddrinfo(host, nil, &hints, &list)
        defer { if let list { freeaddrinfo(list) } }
        guard code == 0 else {
            return .failure(OutboundFailure(.dnsFailed, "\(host): \(String(cString: gai_strerror(code)))", isTransient: code != EAI_NONAME))
        }
        var addresses: [IPAddress] = []
        var next = list
        while let entry = next {
            next = entry.pointee.ai_next
            guard let raw = entry.pointee.ai_addr, let read = IPAddress.read(raw, length: Int(entry.pointee.ai_addrlen)),
                !addresses.contains(read.address)
            else { continue }
            addresses.append(read.address)
        }
        return .success(addresses)
    }
}
