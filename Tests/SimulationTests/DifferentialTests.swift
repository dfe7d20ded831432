import Foundation
import Simulation
import TestSupport
import Testing

/// What makes the simulation worth believing: its database and PostgreSQL do the same under the same verbs.
@Suite struct DifferentialTests {
    @Test(arguments: 0..<4) func `random sequences of verbs leave the same rows in the model and in PostgreSQL`(lane: Int) async throws {
        try await withTestGateway(connections: 2) { test in
            var sequences = 0
            var reached: [ModelState: Int] = [:]
            while sequences < 52 {
                // Removed senders stay removed elsewhere: now and then a fresh account.
                var twin = try await Twin.make(test, isLimited: lane % 2 == 1, seed: UInt64(lane * 1_000 + sequences))
                for _ in 0..<13 {
                    try await twin.begin()
                    for _ in 0..<30 { try await twin.step() }
                    sequences += 1
                    for message in twin.model.messages { if let state = message?.state { reached[state, default: 0] += 1 } }
                }
                try await twin.retire()
            }
            // The sequences get everywhere.
            for state in ModelState.allCases where state != .hold && state != .prepared {
                #expect(reached[state, default: 0] >= (state == .unconfirmed ? 1 : 5), "\(state): \(reached)")
            }
        }
    }

    @Test(arguments: [
        ModelSabotage.noEpochInPreWire, .noEpochInOutcome, .noAttemptInRefusal, .noExpiryInPreWire, .claimWithoutLock, .atMostOnceIgnored,
        .receiptsLowerRank, .cancelWithoutState, .leaseTakenWhileHeld,
    ])
    func `a guard that only the model lacks is noticed`(sabotage: ModelSabotage) async throws {
        try await withTestGateway(connections: 2) { test in
            var twin = try await Twin.make(test, isLimited: false, seed: 1, sabotage: sabotage)
            await #expect(throws: TestFailure.self) {
                for _ in 0..<120 {
                    try await twin.begin()
                    for _ in 0..<30 { try await twin.step() }
                }
            }
        }
    }

    @Test func `the transition tables of the model and of the database agree on every pair`() async throws {
        try await withTestGateway { test in
            for old in ModelState.allCases {
                for new in ModelState.allCases {
                    let real = try await test.owner.queryOne(
                        "test.pair",
                        """
                        SELECT gateway_transition_allowed(\(old.name), \(new.name)) AS row, gateway_message_transition_allowed(\(old.name), \(new.name)) AS message
                        """, as: { (try $0.column("row", as: Bool.self), try $0.column("message", as: Bool.self)) })
                    #expect(real?.0 == ModelTransitions.outbox(old, new), "outbox \(old) → \(new)")
                    #expect(real?.1 == ModelTransitions.message(old, new), "message \(old) → \(new)")
                }
            }
        }
    }
}
