import NIOHTTP1
package import Simulator

/// Makes senders through the API and links them with the simulator's phones, several at a time.
package struct Pairing: Sendable {
    private struct Created: Decodable {
        var id: String
    }

    private struct Offer: Decodable {
        var qr: String?
    }

    private struct Sender: Decodable {
        struct State: Decodable {
            var code: String
        }

        var state: State
    }

    private static let lanes = 16

    private let port: Int
    private let key: String
    private let simulator: WhatsAppSimulator

    /// - Parameters:
    ///   - port: the gateway's, on this machine.
    ///   - key: a test key that may manage senders.
    package init(port: Int, key: String, simulator: WhatsAppSimulator) {
        self.port = port
        self.key = key
        self.simulator = simulator
    }

    /// Pairs `count` senders and returns their ids when all of them are ready.
    package func pair(_ count: Int) async throws -> [String] {
        try await withThrowingTaskGroup(of: [String].self) { group in
            for lane in 0..<Self.lanes where lane < count {
                group.addTask {
                    try await HTTPConnection.with(port: port, key: key) { connection in
                        var senders: [String] = []
                        for number in stride(from: lane, to: count, by: Self.lanes) { senders.append(try await pair("Bench \(number)", connection)) }
                        return senders
                    }
                }
            }
            var senders: [String] = []
            for try await some in group { senders += some }
            return senders
        }
    }

    /// Pairs one sender and returns its id when it is ready.
    package func pair(_ label: String) async throws -> String {
        try await HTTPConnection.with(port: port, key: key) { try await pair(label, $0) }
    }

    private func pair(_ label: String, _ connection: HTTPConnection) async throws -> String {
        let created = try await connection.send(.POST, "/v1/senders", json: "{\"label\":\"\(label)\"}")
        guard created.status == 201 else { throw ProofFailure("a sender was not created: \(created.status)") }
        let id = try created.decoded(as: Created.self).id
        let asked = try await connection.send(.POST, "/v1/senders/\(id)/pairing", json: "{}")
        guard asked.status == 202 else { throw ProofFailure("a pairing was not begun: \(asked.status)") }
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: .seconds(120))
        var seen: String?
        var nextLook = clock.now
        while clock.now < end {
            if clock.now >= nextLook, let qr = try await connection.send(.GET, "/v1/senders/\(id)/pairing").decoded(as: Offer.self).qr, qr != seen {
                seen = qr
                // A code may have been replaced meanwhile; one that was scanned is hardly ever followed by another.
                if (try? simulator.scan(qr: qr)) != nil { nextLook = clock.now.advanced(by: .seconds(5)) }
            }
            if seen != nil, try await connection.send(.GET, "/v1/senders/\(id)").decoded(as: Sender.self).state.code == "ready" { return id }
            try await clock.sleep(for: .milliseconds(50))
        }
        throw ProofFailure("a sender did not become ready within two minutes")
    }
}

extension WhatsAppSimulator {
    /// How many linked devices are logged in and receive.
    package var activeSenders: Int { phones.reduce(0) { sum, phone in sum + phone.linkedDevices.count { $0.isConnected && $0.isActive } } }

    /// Returns when so many senders are logged in; throws after two minutes.
    package func waitForActiveSenders(_ count: Int) async throws {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: .seconds(120))
        while clock.now < end {
            if activeSenders >= count { return }
            try await clock.sleep(for: .milliseconds(200))
        }
        throw ProofFailure("only \(activeSenders) of \(count) senders logged in within two minutes")
    }
}
