/// What puts messages on a wire: linked devices now, the Cloud API later. Delivery schedules over it, Sessions implements it.
package protocol Transport: Sendable {
    /// Sends one claimed message and returns when its outcome is recorded. It calls `Outbox.preWire` just before the bytes leave, and then `left`:
    /// from there on the message only waits for an answer.
    func send(_ message: ClaimedMessage, left: @escaping @Sendable () -> Void) async
    /// The senders that can send now on this node, whenever that changes; the latest list replaces the one before.
    func readySenders() -> AsyncStream<[OwnedSender]>
}
