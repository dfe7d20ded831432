/// Lets messages leave in the order in which their ratchets advanced, whichever of their commits is answered first.
struct WriteTurns {
    private var next: UInt64 = 0
    /// The oldest turn that is not over.
    private var head: UInt64 = 0
    /// Turns after `head` that are over already.
    private var over: Set<UInt64> = []
    private var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]

    /// A turn behind all others. `end` has to follow.
    mutating func draw() -> UInt64 {
        defer { next += 1 }
        return next
    }

    /// Whether all earlier turns are over.
    func isFirst(_ turn: UInt64) -> Bool { turn == head }

    /// Resumed when all earlier turns are over.
    mutating func wait(for turn: UInt64, _ continuation: CheckedContinuation<Void, Never>) {
        if isFirst(turn) { continuation.resume() } else { waiters[turn] = continuation }
    }

    /// The message has left, or never will.
    mutating func end(_ turn: UInt64) {
        over.insert(turn)
        while over.remove(head) != nil { head += 1 }
        waiters.removeValue(forKey: head)?.resume()
    }
}
