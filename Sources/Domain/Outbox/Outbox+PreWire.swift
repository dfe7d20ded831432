package import Foundation
package import Postgres

extension Outbox {
    /// Commits the ratchet's new state together with `on_wire`; when it returns, the bytes may leave. `device` and `writes` become durable in the same
    /// transaction, which is shared with other messages that are at this point in the same moment; the lease's epoch is held until its end, so
    /// they need no fence. What limits allow is debited there too; a message that is over one goes back to the queue.
    /// - Throws: `PreWireRefusal`, or `DatabaseError`: nothing was committed then and nothing may leave (after `commitUnknown` it may have been
    ///   committed, which costs one attempt and nothing else).
    package func preWire(
        _ message: ClaimedMessage, owner: OwnedSender, now: Date, writes: [Statement] = [], device: DeviceWrites? = nil
    ) async throws {
        try await queuePreWire(message, owner: owner, now: now, writes: writes, device: device).value()
    }

    /// The same in two steps, for who must not wait in between: it is on its way when this returns, and committed when the ticket's value does.
    /// - Throws: `DatabaseError` if too many wait: nothing was taken.
    package func queuePreWire(
        _ message: ClaimedMessage, owner: OwnedSender, now: Date, writes: [Statement] = [], device: DeviceWrites? = nil
    ) throws -> PreWireTicket {
        if !message.dispatch.isStored { unstored.add(message.id, wireID: message.wireID, owner: owner) }
        return PreWireTicket(ticket: try preWires.enqueue(PreWireRequest(message: message, owner: owner, now: now, device: device, writes: writes)))
    }
}

/// A pre-wire that is on its way.
package struct PreWireTicket: Sendable {
    fileprivate let ticket: GroupCommit<PreWireRequest, Void>.Ticket

    /// Returns when it is committed; throws as `Outbox.preWire` does. Asked once.
    package func value() async throws { try await ticket.value() }
}
