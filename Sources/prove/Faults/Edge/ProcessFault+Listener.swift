import Domain
import Foundation
import Postgres
import Primitives
import Proof
import Secrets
import Synchronization

extension ProcessFault {
    /// What clients do to the listener of the API.
    static let listener: [ProcessFault] = [
        ProcessFault(
            name: "F94",
            injected: "200 clients whose headers and 200 whose bodies trickle, beside them the raw corpus over and over (HTTP/2 is not spoken here)",
            expected:
                "408, 431 or 400 and an end (headers that trickle: ≤ 80 s, with or without a word); nothing smuggled; others' p99 as before; memory bounded"
        ) { try await inWorld(nodes: 1, senders: 1, rawCorpus) },
        ProcessFault(
            name: "F95", injected: "300 clients that are gone at any moment of their request, then the same again under the same key",
            expected: "the message is there or not, once; nothing else is left"
        ) { try await inWorld(nodes: 1, senders: 2, within: .seconds(120), goneClients) },
        ProcessFault(
            name: "F96", injected: "100 requests at the same time under one key: identical, then all different; 5 times each",
            expected: "one message; 99 replays; 99 × 422"
        ) { try await inWorld(nodes: 2, senders: 2, within: .seconds(120), sameKey) },
        ProcessFault(
            name: "F97",
            injected: "1,000 random API keys a second for 10 s: damaged ones, whole ones from one address, whole ones from many addresses",
            expected:
                "401 or 429; a valid key's p95 at most 3 times, or in this debug build beside its clients 250 ms more; CPU ≤ 60 % of the machine, in this debug build 70 %; memory ≤ 64 MiB more"
        ) { try await inWorld(nodes: 1, senders: 1, settings: ["GATEWAY_SERVER_BEHIND_PROXY": "true"], keyFlood) },
    ]

    // MARK: Raw bytes

    private static func rawCorpus(_ world: World) async throws -> Seen {
        let node = world.nodes[0]
        guard let process = node.processID, let start = ProcessFigures(of: process) else { throw ProofFailure("no process") }
        let usual = try await world.goodClient(for: .seconds(5))
        let cases = RawCase.all(key: world.key)
        let complaints = Nonces()
        let memory = Peak()
        let end = Ending()
        let (trickles, crowded, rounds) = try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while !end.isSet {
                    if let now = ProcessFigures(of: process) { memory.see(now.residentKiB) }
                    try await ContinuousClock().sleep(for: .milliseconds(200))
                }
            }
            async let trickles = trickle(world)
            let rounds = Counter()
            group.addTask {
                while !end.isSet {
                    for one in cases where !end.isSet {
                        if let complaint = try await one.complaint(port: node.port) { complaints.add(complaint) }
                    }
                    _ = rounds.next()
                }
            }
            let crowded = try await world.goodClient(for: .seconds(30))
            let found = try await trickles
            end.set()
            try await group.waitForAll()
            return (found, crowded, rounds.count)
        }
        let wrong = Set(complaints.all).sorted()
        let grown = (max(memory.value, start.residentKiB) - start.residentKiB) / 1_024
        let isQuick = crowded.p99 <= usual.p99 * 2 + .milliseconds(100)
        return Seen(
            isOK: wrong.isEmpty && trickles.isOK && isQuick && grown <= 96 && node.processID == process && crowded.count > 200,
            what:
                "\(cases.count) cases, \(rounds) rounds, \(wrong.isEmpty ? "none wrong" : "WRONG: " + wrong.joined(separator: "; ")); \(trickles.what); "
                + "others' p99 \(usual.p99.whole) → \(crowded.p99.whole) ms (\(crowded.count) requests); memory \(grown) MiB more at the most")
    }

    /// Headers and bodies that never get there: how they ended.
    private static func trickle(_ world: World) async throws -> Seen {
        let port = world.nodes[0].port
        let head = "POST /v1/messages HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer \(world.key)\r\n"
        var headers: [RawConnection] = []
        var bodies: [RawConnection] = []
        for _ in 0..<200 {
            let header = try await RawConnection.open(port: port)
            await header.say(head)
            headers.append(header)
            let body = try await RawConnection.open(port: port)
            await body.say(head + "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
            bodies.append(body)
        }
        let start = ContinuousClock.now
        var ends: (headers: Duration?, bodies: Duration?) = (nil, nil)
        while ContinuousClock.now - start < .seconds(90), ends.headers == nil || ends.bodies == nil {
            for connection in headers where !connection.isClosed { await connection.say("X") }
            for connection in bodies where !connection.isClosed { await connection.say(" ") }
            try await ContinuousClock().sleep(for: .seconds(1))
            if ends.headers == nil, headers.allSatisfy(\.isClosed) { ends.headers = ContinuousClock.now - start }
            if ends.bodies == nil, bodies.allSatisfy(\.isClosed) { ends.bodies = ContinuousClock.now - start }
        }
        let statuses = (Set(headers.map { $0.statuses.first ?? 0 }), Set(bodies.map { $0.statuses.first ?? 0 }))
        for connection in headers + bodies { await connection.close() }
        func text(_ end: Duration?, _ statuses: Set<Int>) -> String {
            guard let end else { return "NOT ended" }
            return "ended ≤ \(end.whole / 1_000) s with \(statuses.sorted().map { $0 == 0 ? "nothing" : "\($0)" }.joined(separator: ", "))"
        }
        return Seen(
            isOK: ends.headers.map { $0 <= .seconds(80) } ?? false && ends.bodies.map { $0 <= .seconds(40) } ?? false
                && statuses.0.isSubset(of: [0, 408])
                && statuses.1 == [408],
            what: "trickling headers \(text(ends.headers, statuses.0)), bodies \(text(ends.bodies, statuses.1))")
    }

    // MARK: Clients that go away

    private static func goneClients(_ world: World) async throws -> Seen {
        let node = world.nodes[0]
        var replays = 0
        var posted = 0
        var random = SplitMix(state: 95)
        for round in 0..<300 {
            let nonce = "gone-\(round)-\(world.next())"
            let number = world.anyRecipient()
            let json = #"{"to":"+\#(number)","type":"text","text":{"body":"\#(nonce)"},"reference":"\#(nonce)"}"#
            let request =
                "POST /v1/messages HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer \(world.key)\r\nContent-Type: application/json\r\n"
                + "Idempotency-Key: \(nonce)\r\nContent-Length: \(json.utf8.count)\r\n\r\n\(json)"
            let connection = try await RawConnection.open(port: node.port)
            // Every fourth one says only a part of it.
            await connection.say(round % 4 == 3 ? String(request.dropLast(Int(random.next() % UInt64(json.count)) + 1)) : request)
            try await ContinuousClock().sleep(for: .microseconds(Int(random.next() % 25_000)))
            await connection.reset()
            world.ledger.add(Ledger.Entry(nonce: nonce, number: number, end: .shown))
            let answer = try await HTTPConnection.with(port: node.port, key: world.key) {
                try await $0.send(.POST, "/v1/messages", idempotencyKey: nonce, json: json)
            }
            world.answers.count(answer.status)
            guard answer.status == 202 else { continue }
            posted += 1
            if answer.headers.first(name: "Idempotent-Replayed") == "true" { replays += 1 }
            let id = (try? JSONSerialization.jsonObject(with: Data(answer.body.readableBytesView)) as? [String: Any])?["id"] as? String
            world.ledger.change(nonce) { $0.id = id }
        }
        let rows = try await world.counts()
        return Seen(
            isOK: posted == 300 && rows == [300, 300, 300] && replays > 20 && replays < 280,
            what: "\(posted) of 300 accepted when they came again, \(replays) of them known already; rows: \(rows[0]) messages, \(rows[1]) keys, "
                + "\(rows[2]) bodies")
    }

    private static func sameKey(_ world: World) async throws -> Seen {
        var fresh: [Int] = []
        var replays: [Int] = []
        var refused: [Int] = []
        var strange = 0
        for round in 0..<10 {
            let differs = round % 2 == 1
            let key = "same-\(round)"
            let numbers = (0..<100).map { _ in differs ? world.anyRecipient() : "628110007777" }
            let answers = try await withThrowingTaskGroup(of: (status: Int, isReplay: Bool, id: String, number: String, text: String).self) { group in
                for (index, number) in numbers.enumerated() {
                    let text = differs ? "\(key)-\(index)" : key
                    let node = world.nodes[index % world.nodes.count]
                    group.addTask {
                        let json = #"{"to":"+\#(number)","type":"text","text":{"body":"\#(text)"},"reference":"\#(text)"}"#
                        while true {
                            let answer = try await HTTPConnection.with(port: node.port, key: world.key) {
                                try await $0.send(.POST, "/v1/messages", idempotencyKey: key, json: json)
                            }
                            // In progress: to be asked again.
                            if answer.status == 409 || answer.status == 503 { continue }
                            world.answers.count(answer.status)
                            let id =
                                (try? JSONSerialization.jsonObject(with: Data(answer.body.readableBytesView)) as? [String: Any])?["id"] as? String
                            return (answer.status, answer.headers.first(name: "Idempotent-Replayed") == "true", id ?? "", number, text)
                        }
                    }
                }
                var all: [(status: Int, isReplay: Bool, id: String, number: String, text: String)] = []
                for try await one in group { all.append(one) }
                return all
            }
            let good = answers.filter { $0.status == 202 }
            fresh.append(good.count { !$0.isReplay })
            replays.append(good.count { $0.isReplay })
            refused.append(answers.count { $0.status == 422 })
            if Set(good.map(\.id)).count != 1 || Set(good.map(\.text)).count != 1 { strange += 1 }
            if let first = good.first {
                world.ledger.add(Ledger.Entry(nonce: first.text, number: first.number, end: .shown, id: first.id))
            }
        }
        let rows = try await world.counts()
        return Seen(
            isOK: fresh == Array(repeating: 1, count: 10) && replays == (0..<10).map { $0 % 2 == 0 ? 99 : 0 }
                && refused == (0..<10).map { $0 % 2 == 0 ? 0 : 99 } && strange == 0 && rows == [10, 10, 10],
            what: "new \(fresh), replays \(replays), 422 \(refused); rows: \(rows[0]) messages, \(rows[1]) keys, \(rows[2]) bodies")
    }

    // MARK: Keys

    private static func keyFlood(_ world: World) async throws -> Seen {
        let node = world.nodes[0]
        guard let process = node.processID, let start = ProcessFigures(of: process) else { throw ProofFailure("no process") }
        let cores = Double(ProcessInfo.processInfo.activeProcessorCount)
        let usual = try await world.goodClient(for: .seconds(5))
        var seen: [String] = []
        var isOK = true
        let random = SystemRandom()
        let waves: [(name: String, lanes: Int, make: @Sendable (Int) -> (key: String, address: String))] = [
            ("damaged", 16, { ("wag_test_\($0)" + Hex.encode(random.bytes(16)), "198.51.100.1") }),
            ("from one address", 16, { _ in (APIKeySecret.generate(.test, random: random).reveal(), "198.51.100.2") }),
            ("from many", 64, { (APIKeySecret.generate(.test, random: random).reveal(), "203.0.\($0 / 250 % 250).\($0 % 250 + 1)") }),
        ]
        for wave in waves {
            guard let before = ProcessFigures(of: process) else { throw ProofFailure("the process is gone") }
            let answers = Tally()
            async let flood: Void = flood(node, for: .seconds(10), perSecond: 1_000, lanes: wave.lanes, answers, wave.make)
            let good = try await world.goodClient(for: .seconds(9))
            try await flood
            guard let after = ProcessFigures(of: process) else { throw ProofFailure("the process is gone") }
            let busy = (after.cpu - before.cpu) / ((after.at - before.at) / .seconds(1)) / cores
            let grown = (after.residentKiB - start.residentKiB) / 1_024
            let others = answers.sum(200..<401) + answers.sum(402..<429) + answers.sum(430..<600)
            isOK =
                isOK && others == 0 && answers.sum(401..<402) + answers.sum(429..<430) > 1_000 && busy <= 0.7 && grown <= 64 && good.failures == 0
                && good.p95 <= usual.p95 * 3 + .milliseconds(250)
            seen.append(
                "\(wave.name): \(answers.description); CPU \(Int(busy * 100)) %, memory \(grown) MiB more, a valid key's p95 \(usual.p95.whole) → \(good.p95.whole) ms"
                    + (good.failures > 0 ? ", \(good.failures) × REFUSED" : ""))
        }
        return Seen(isOK: isOK, what: seen.joined(separator: "; "))
    }

    private static func flood(
        _ node: GatewayProcess, for limit: Duration, perSecond: Int, lanes: Int, _ answers: Tally,
        _ make: @escaping @Sendable (Int) -> (key: String, address: String)
    ) async throws {
        let end = ContinuousClock.now + limit
        let number = Counter()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<lanes {
                group.addTask {
                    try await HTTPConnection.with(port: node.port) { connection in
                        var next = ContinuousClock.now
                        while ContinuousClock.now < end {
                            let (key, address) = make(number.next())
                            let answer = try await connection.send(
                                .GET, "/v1/messages", fields: ["Authorization": "Bearer \(key)", "X-Forwarded-For": address])
                            answers.count(answer.status)
                            next = max(next.advanced(by: .seconds(Double(lanes) / Double(perSecond))), ContinuousClock.now - .milliseconds(100))
                            try await ContinuousClock().sleep(until: next)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}

/// How an honest client was served.
struct Service: Sendable {
    var times: [Duration] = []
    var failures = 0

    var count: Int { times.count }
    var p95: Duration { at(0.95) }
    var p99: Duration { at(0.99) }

    private func at(_ share: Double) -> Duration {
        let times = times.sorted()
        return times.isEmpty ? .zero : times[min(times.count - 1, Int(Double(times.count) * share))]
    }
}

/// The highest of what was seen.
final class Peak: Sendable {
    private let most = Mutex(0)

    var value: Int { most.withLock { $0 } }

    func see(_ value: Int) { most.withLock { $0 = max($0, value) } }
}

extension Duration {
    /// Whole milliseconds.
    var whole: Int { Int(self / .milliseconds(1)) }
}

extension World {
    /// An honest client that asks for its messages all the time, over a connection that it keeps, twenty milliseconds apart.
    func goodClient(for limit: Duration) async throws -> Service {
        try await HTTPConnection.with(port: nodes[0].port, key: key) { connection in
            let clock = ContinuousClock()
            let end = clock.now + limit
            var service = Service()
            while clock.now < end {
                let start = clock.now
                let answer = try await connection.send(.GET, "/v1/messages?limit=1", fields: ["X-Forwarded-For": "192.0.2.7"])
                service.times.append(clock.now - start)
                if answer.status != 200 { service.failures += 1 }
                try await clock.sleep(for: .milliseconds(20))
            }
            return service
        }
    }

    /// Rows of messages, idempotency keys and bodies.
    func counts() async throws -> [Int] {
        var counts: [Int] = []
        for table in ["messages", "idempotency", "message_bodies"] {
            counts += try await database.ask("proof.counts", "SELECT count(*) AS rows FROM \(unescaped: table)") {
                try $0.column("rows", as: Int.self)
            }
        }
        return counts
    }
}
