import Foundation
import Primitives
import Proof

/// A deliberate mistake of a real gateway, and what must bring it to light.
struct SabotageCase: Sendable {
    /// A mistake in a named statement.
    struct Edit: Encodable, Sendable {
        var statement: String
        var find: String
        var replace: String
    }

    enum Trial: Sendable {
        /// Cells one after the other, and the last look.
        case cells([Cell])
        /// Plain traffic, a hundred messages.
        case traffic
        /// The same, and the server never sees some of them.
        case lossyTraffic
        /// Something that nothing disturbs.
        case drive(Drive)
        /// A message is canceled while its sender stands at a place.
        case cancelAt(Failpoint)
        /// The process dies when the server has a message and nobody has said so.
        case deathBeforeAnswer
        /// Plain traffic, kill -9, and traffic to the same people again.
        case trafficAfterDeath
        /// A message's life ends between claim and wire.
        case lateWire
        /// A sender disappears after the wire, with another one at hand.
        case senderGone
    }

    var name: String
    /// What is wrong, in a few words.
    var what: String
    /// A switch in the code.
    var code: Sabotage?
    var edits: [Edit] = []
    /// Lines of postgresql.conf.
    var database: [String: String] = [:]
    var nodes = 1
    var trial: Trial

    func environment(in directory: String) throws -> [String: String] {
        var environment: [String: String] = [:]
        if let code { environment["SABOTAGE"] = code.rawValue }
        if !edits.isEmpty {
            let path = directory + "/sabotage.json"
            try JSONEncoder().encode(edits).write(to: URL(fileURLWithPath: path))
            environment["SABOTAGE_SQL"] = path
        }
        return environment
    }
}
