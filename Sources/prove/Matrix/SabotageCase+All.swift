import Primitives

extension SabotageCase {
    static let all: [SabotageCase] = identity + guards + accounts

    /// What a message is on the wire, and when.
    private static let identity = [
        SabotageCase(name: "fresh-ids", what: "a resend takes a new id", code: .freshIDs, trial: .deathBeforeAnswer),
        SabotageCase(
            name: "send-before-commit", what: "bytes leave before ratchet and on_wire are committed", code: .sendBeforeCommit,
            trial: cells(.preWireBegin, .stop)),
        SabotageCase(
            name: "resend-from-other-sender", what: "a resend leaves from another sender", code: .resendFromOtherSender,
            trial: .deathBeforeAnswer),
        SabotageCase(
            name: "silence-is-refusal", what: "a missing answer counts as a refusal", code: .silenceIsRefusal, trial: .drive(.silence)),
        SabotageCase(
            name: "forget-ratchet", what: "on_wire is committed without the new ratchet",
            edits: [
                Edit("outbox.preWire", "SET sealed = excluded.sealed, revision = excluded.revision", "SET revision = excluded.revision")
            ],
            trial: .trafficAfterDeath),
    ]

    /// What the statements guard.
    private static let guards = [
        SabotageCase(
            name: "double-claim", what: "a claimed message can be claimed again",
            edits: [
                Edit("outbox.claim", "b.state = 'accepted'", "b.state IN ('accepted', 'prepared')"),
                // That it was claimed before keeps it from being claimed beside others, too.
                Edit("outbox.claim", "AND b.claims ", "AND 0 * b.claims "),
            ],
            trial: .traffic),
        SabotageCase(
            name: "forget-claims", what: "nobody gives back what a dead process had claimed",
            edits: [
                Edit("outbox.giveBack", "WHERE state = 'prepared'", "WHERE false AND state = 'prepared'"),
                Edit("leases.returnPrepared", "b.state = 'prepared'", "false"),
            ],
            trial: cells(.prepared, .kill)),
        SabotageCase(
            name: "skip-expiry-check", what: "claim and pre-wire do not ask whether its time is over",
            edits: [
                Edit("outbox.claim", "AND b.expires_at > ", "AND b.expires_at + interval '1 day' > "),
                Edit("outbox.preWire", "AND b.expires_at > i.moment", ""),
            ],
            trial: .lateWire),
        SabotageCase(
            name: "ack-from-anybody", what: "an acknowledgement completes whatever its sender has open",
            edits: [
                Edit(
                    "outbox.acknowledge", "AND b.message_id = i.message_id AND b.sender_id = i.sender_id AND b.wire_id = i.wire_id",
                    "AND b.sender_id = i.sender_id")
            ],
            trial: .lossyTraffic),
        SabotageCase(
            name: "move-after-wire", what: "the mover takes what is on the wire, too",
            edits: [
                Edit("outbox.stuck", "AND o.state = 'accepted'", "AND o.state IN ('accepted', 'on_wire')"),
                Edit("outbox.move", "b.state = 'accepted' AND ", ""),
            ],
            trial: .senderGone),
        SabotageCase(
            name: "cancel-after-wire", what: "a message on the wire can be canceled",
            edits: [
                Edit("messages.cancel", "('scheduled', 'hold', 'accepted', 'prepared')", "('scheduled', 'hold', 'accepted', 'prepared', 'on_wire')")
            ],
            trial: .cancelAt(.onWire)),
    ]

    /// What must be written, and kept.
    private static let accounts = [
        SabotageCase(
            name: "forget-event-row", what: "sent is committed without its event",
            edits: [Edit("outbox.acknowledge", " FROM moved\n),\ntried", " FROM moved WHERE false\n),\ntried")], trial: .traffic),
        SabotageCase(
            name: "forget-outbox-row", what: "a message is accepted without its outbox row",
            edits: [Edit("messages.accept", "FROM fresh\n)\nSELECT input.message_id", "FROM fresh WHERE false\n)\nSELECT input.message_id")],
            trial: .traffic),
        SabotageCase(
            name: "forget-idempotency", what: "a repeated request makes another message",
            edits: [
                Edit("messages.accept", "WHERE input.key_index IS NOT NULL", "WHERE false"),
                Edit("messages.accept", "WHERE input.key_index IS NULL OR input.message_id IN (SELECT resource_id FROM claimed)", "WHERE true"),
            ],
            trial: .traffic),
        SabotageCase(
            name: "never-sweep", what: "nobody looks for what is overdue",
            edits: [Edit("outbox.dueAccounts", ")", ") WHERE false")], trial: .drive(.expire)),
        SabotageCase(
            name: "asynchronous-commit", what: "PostgreSQL answers before a commit is on disk",
            database: ["synchronous_commit": "off", "wal_writer_delay": "10000ms"], trial: cells(.accepted, .postgres, times: 4)),
    ]

    private static func cells(_ point: Failpoint, _ fault: Fault, nodes: Int = 1, times: Int = 2) -> Trial {
        .cells(Array(repeating: Cell(point: point, fault: fault, nodes: nodes), count: times))
    }
}

extension SabotageCase.Edit {
    init(_ statement: String, _ find: String, _ replace: String) { self.init(statement: statement, find: find, replace: replace) }
}
