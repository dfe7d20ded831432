import NIOHTTP1
import Simulator

/// Makes senders through the API and links them with the simulator's phones, several at a time.
struct Pairing {
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

    let port: Int
    let key: String
    let simulator: WhatsAppSimulator

    /// Pairs `count` senders and returns their ids when all of them are ready.
    func pair(_ count: Int) async throws -> [String] {
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

    private func pair(_ label: String, _ connection: HTTPConnection) async throws -> String {
        let created = try await connection.send(.POST, "/v1/senders", json: "{\"label\":\"\(label)\"}")
        guard created.status == 201 else { throw BenchmarkFailure("a sender was not created: \(created.status)") }
        let id = try created.decoded(as: Created.self).id
        let asked = try await connection.send(.POST, "/v1/senders/\(id)/pairing", json: "{}")
        guard asked.status == 202 else { throw BenchmarkFailure("a pairing was not begun: \(asked.status)") }
        var scanned: String?
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: .seconds(120))
        while clock.now < end {
            if scanned == nil, let qr = try await connection.send(.GET, "/v1/senders/\(id)/pairing").decoded(as: Offer.self).qr {
                try simulator.scan(qr: qr)
                scanned = qr
            }
            if scanned != nil, try await connection.send(.GET, "/v1/senders/\(id)").decoded(as: Sender.self).state.code == "ready" { return id }
            try await clock.sleep(for: .milliseconds(50))
        }
        throw BenchmarkFailure("a sender did not become ready within two minutes")
    }
}

extension WhatsAppSimulator {
    /// How many linked devices are logged in and receive.
    var activeSenders: Int { phones.reduce(0) { sum, phone in sum + phone.linkedDevices.count { $0.isConnected && $0.isActive } } }

    /// Returns when so many senders are logged in; throws after two minutes.
    func waitForActiveSenders(_ count: Int) async throws {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: .seconds(120))
        while clock.now < end {
            if activeSenders >= count { return }
            try await clock.sleep(for: .milliseconds(200))
        }
        throw BenchmarkFailure("only \(activeSenders) of \(count) senders logged in within two minutes")
    }
}
