import Synchronization

/// Whether one client may still write: as long as the lease can be trusted, and never again after a write that was refused, even if the lease was
/// renewed since. What that write said never left, so nothing that counts on it may follow, such as the acknowledgement of a retry receipt whose
/// answer was refused (reliability.md §2.5, fence 2).
final class WritePermission: Sendable {
    private let isTrusted: @Sendable () -> Bool
    private let lapsed: @Sendable () -> Void
    private let hasLapsed = Mutex(false)

    /// - Parameters:
    ///   - isTrusted: asked at each write.
    ///   - lapsed: called once, at the first write that is refused: the connection has to be closed.
    init(isTrusted: @escaping @Sendable () -> Bool, lapsed: @escaping @Sendable () -> Void) {
        self.isTrusted = isTrusted
        self.lapsed = lapsed
    }

    /// Asked immediately before each write.
    func mayWrite() -> Bool {
        let (mayWrite, isFirstRefusal) = hasLapsed.withLock { hasLapsed in
            guard !hasLapsed else { return (false, false) }
            hasLapsed = !isTrusted()
            return (!hasLapsed, hasLapsed)
        }
        if isFirstRefusal { lapsed() }
        return mayWrite
    }
}
