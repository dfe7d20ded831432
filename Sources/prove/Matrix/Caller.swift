import Foundation
import Proof
import Synchronization

/// Uses the API of a world's nodes as a careful client does: what was not answered is asked again, of another node, under the same
/// idempotency key.
struct Caller: Sendable {
    let world: World
    var key: String
    /// How long one try may take.
    var patience = 2.0
    /// How long it goes on trying.
    var limit: Duration = .seconds(60)
    /// Whether 429 is an answer: keys that do not work are counted per address.
    var takesThrottling = false

    init(_ world: World, key: String? = nil) {
        self.world = world
        self.key = key ?? world.key
    }

    struct Answer: Sendable {
        var status: Int
        /// The texts at the top of the body.
        var fields: [String: String]
        /// No answer, or one that asks to come again, came before.
        var wasUnanswered: Bool

        var isGood: Bool { (200..<300).contains(status) }
    }

    /// Asks until some node gives an answer that is not about the moment (5xx, 409 in progress, 429).
    func call(_ method: String, _ path: String, json: String? = nil, idempotencyKey: String? = nil) async throws -> Answer {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: limit)
        var tries = 0
        var last = "nobody answered"
        var turn = world.next()
        while clock.now < end {
            let node = world.nodes[turn % world.nodes.count]
            turn += 1
            let start = clock.now
            let answer = try? await HTTP.request(
                method, node.baseURL + path, key: key, idempotencyKey: idempotencyKey, json: json, timeout: patience)
            world.answers.count(answer?.status ?? 0)
            world.tries.add(Tries.Try(status: answer?.status ?? 0, retryAfter: answer?.retryAfter, began: start, took: clock.now - start))
            if let answer {
                let code = answer.body["code"] as? String
                if answer.status < 500, takesThrottling || answer.status != 429, code != "idempotency_in_progress" {
                    return Answer(status: answer.status, fields: answer.body.compactMapValues { $0 as? String }, wasUnanswered: tries > 0)
                }
                last = "\(answer.status) \(code ?? "")"
            }
            tries += 1
            try await clock.sleep(for: .milliseconds(50))
        }
        throw ProofFailure("\(method) \(path): \(last) until the end of patience")
    }

    /// Posts one message and enters it into the ledger. The nonce is its text, its reference and its idempotency key.
    /// - Parameter more: further JSON, beginning with a comma.
    @discardableResult
    func post(_ number: String, end: Ledger.End = .shown, more: String = "", nonce: String? = nil) async throws -> String {
        let nonce = nonce ?? "nonce-\(world.next())-\(UInt32.random(in: 0...UInt32.max))"
        world.ledger.add(Ledger.Entry(nonce: nonce, number: number, end: end))
        let json = #"{"to":"+\#(number)","type":"text","text":{"body":"\#(nonce)"},"reference":"\#(nonce)"\#(more)}"#
        let answer = try await call("POST", "/v1/messages", json: json, idempotencyKey: nonce)
        guard answer.status == 202, let id = answer.fields["id"] else {
            throw ProofFailure("a message was answered with \(answer.status) \(answer.fields["code"] ?? "")")
        }
        world.ledger.change(nonce) { entry in
            entry.id = id
            entry.wasUnanswered = answer.wasUnanswered
        }
        return nonce
    }

    /// Cancels what was posted under a nonce. Afterwards it must be canceled, or be shown if the gateway says that it is too late.
    func cancel(_ nonce: String) async throws {
        guard let id = world.ledger.entry(nonce)?.id else { return }
        let answer = try await call("POST", "/v1/messages/\(id)/cancel")
        world.ledger.change(nonce) { $0.end = answer.isGood ? .notShown(["canceled"]) : .shown }
    }
}
