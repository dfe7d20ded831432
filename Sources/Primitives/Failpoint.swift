/// Places where a proof may kill, stop or hold up the process, to see that nothing is lost or doubled there. In release builds `hit` is empty.
///
/// Debug builds read the wish from `FAILPOINT`, and again at each hit from the file that `FAILPOINT_FILE` names (see `FailpointOrder`).
package enum Failpoint: String, CaseIterable, Sendable {
    // MARK: Accept

    /// Routed and sealed; nothing is committed.
    case acceptBegin = "accept_begin"
    /// The message is committed, the 202 has not left.
    case accepted
    /// A repeated request has found its first answer, which has not left.
    case replayed
    /// A batch is committed, its answer has not left.
    case batchAccepted = "batch_accepted"
    case cancelBegin = "cancel_begin"
    /// `canceled` is committed, the answer has not left.
    case canceled
    case promoteBegin = "promote_begin"
    /// Scheduled messages have come due: `accepted` is committed.
    case promoted
    case moveBegin = "move_begin"
    /// Messages have another sender, committed.
    case moved

    // MARK: Claim, pre-wire, wire, acknowledgement

    case claimBegin = "claim_begin"
    /// The claim is committed, nothing was encrypted.
    case prepared
    /// The copies are encrypted in memory; nothing is committed.
    case encrypted
    /// `on_wire` stands in a transaction that is not committed.
    case preWireBegin = "pre_wire_begin"
    /// Ratchet and `on_wire` are committed, no byte has left.
    case onWire = "on_wire"
    /// The stanza was handed to the socket, no acknowledgement has come.
    case written
    /// The server's acknowledgement is here, not committed.
    case acknowledged
    case acknowledgeBegin = "acknowledge_begin"
    /// `sent` is committed.
    case sent

    // MARK: Receipts

    /// A receipt is here, not committed.
    case receiptRead = "receipt_read"
    /// A delivery receipt is committed, not acknowledged to the server.
    case delivered
    /// A read receipt is committed, not acknowledged to the server.
    case read
    /// A device asks for a message again; the new ratchet step is not committed.
    case retryBegin = "retry_begin"
    /// The new ratchet step is committed, the copy has not left.
    case retryAnswered = "retry_answered"

    // MARK: Other outcomes

    case refusalBegin = "refusal_begin"
    /// A refusal is committed: due again, or failed.
    case refused
    case unknownBegin = "unknown_begin"
    /// That nobody knows what became of it is committed.
    case unknown
    case sweepBegin = "sweep_begin"
    /// What one sweep settled is committed.
    case swept
    case expired
    case unconfirmed

    // MARK: Leases and sessions

    case leaseAcquireBegin = "lease_acquire_begin"
    case leaseAcquired = "lease_acquired"
    case leaseRenewBegin = "lease_renew_begin"
    case leaseRenewed = "lease_renewed"
    case leaseReleaseBegin = "lease_release_begin"
    case leaseReleased = "lease_released"
    case stateBegin = "state_begin"
    /// A sender's state is committed.
    case stateRecorded = "state_recorded"

    // MARK: Pairing and removal

    /// A code to show is committed.
    case codePublished = "code_published"
    case pairedBegin = "paired_begin"
    /// The device's credentials are committed, the phone does not know.
    case paired
    /// New prekeys are committed, the server has none of them.
    case preKeysMade = "prekeys_made"
    /// The server has new prekeys; that it has them is not committed.
    case preKeysUploaded = "prekeys_uploaded"
    case preKeysRecorded = "prekeys_recorded"
    case purgeBegin = "purge_begin"
    /// A device's credentials are gone.
    case purged

    // MARK: Retention and closing

    case retentionBegin = "retention_begin"
    /// One piece of a job is committed, its run is not recorded.
    case retentionPiece = "retention_piece"
    case contactsTruncated = "contacts_truncated"
    case retentionRecorded = "retention_recorded"
    /// The account is marked and its keys are refused; its senders know nothing.
    case closingMarked = "closing_marked"
    case closingBegun = "closing_begun"
    case keyDestroyBegin = "key_destroy_begin"
    case keyDestroyed = "key_destroyed"
    /// One batch of the account's rows is gone.
    case erased
    case closingFinishBegin = "closing_finish_begin"
    case closingFinished = "closing_finished"

    /// Whether a proof wants something here.
    package var isArmed: Bool {
        #if DEBUG
            FailpointOrder.current()?.point == rawValue
        #else
            false
        #endif
    }

    /// Does what a proof wants to happen here, if anything.
    /// - Parameter text: what the place is about, for orders that wait for one message. Never kept.
    package static func hit(_ point: Failpoint, on text: @autoclosure () -> String = "") {
        #if DEBUG
            FailpointOrder.carryOut(at: point, on: text())
        #endif
    }
}
