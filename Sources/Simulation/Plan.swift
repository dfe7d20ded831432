/// What one seed asks for: how many of everything, what the clients want, how the server behaves, and what breaks when.
struct Plan {
    enum Duplicates { case drops, forwards, refuses }

    struct Request {
        let at: Int
        let account: Int
        let recipient: Int
        /// Index into the account's senders; nil: the pool.
        let sender: Int?
        let policy: Int
        let priority: Int
        let sendAt: Int?
        let expiresAt: Int
        let atMostOnce: Bool
        let failFast: Bool
        let cancelAfter: Int?
    }

    enum Fault {
        case crash(node: Int, for: Int)
        case pause(node: Int, for: Int)
        case jump(node: Int, by: Int)
        case databaseDown(for: Int)
        case drop(sender: Int)
        case remove(sender: Int)
        case logOut(sender: Int)
        case loseCache
        case release(node: Int)
    }

    let nodes: Int
    let senders: Int
    let recipients: Int
    let requests: [Request]
    let faults: [(at: Int, fault: Fault)]
    let duplicates: Duplicates
    /// Of a thousand: acknowledgements lost, later than 75 s, and doubled; refusals; resolve failures; database calls that fail; steps at which
    /// a node stumbles.
    let acksLost: Int
    let acksLate: Int
    let acksDoubled: Int
    let refusals: Int
    let unresolved: Int
    let failingCalls: Int
    /// Of a thousand database calls, how many take so long that leases and claims end meanwhile.
    let slowCalls: Int
    let stumbles: Int
    /// Of a thousand pre-wires, how many the database gets to only when the claim has ended or the sender was handed over.
    let latePreWires: Int
    /// Wires of one sender in one minute, and the least gap between two; nil: no limit.
    let perMinute: Int?
    let gap: Int
    let newRecipients: Int?
    /// How much later than promised a message may be settled because of what breaks.
    let slack: Int

    init(random: inout SplitMix64) {
        nodes = random.between(1, 3)
        senders = random.between(2, 4)
        recipients = random.between(2, 5)
        let isCalm = random.chance(60)
        duplicates = [.drops, .forwards, .refuses][random.below(3)]
        acksLost = isCalm ? 0 : [0, 30, 150][random.below(3)]
        acksLate = isCalm ? 0 : [0, 20, 60][random.below(3)]
        acksDoubled = [0, 50][random.below(2)]
        refusals = isCalm ? 0 : [0, 60, 200][random.below(3)]
        unresolved = isCalm ? 0 : [0, 30][random.below(2)]
        failingCalls = isCalm ? 0 : [0, 10, 30][random.below(3)]
        slowCalls = isCalm ? 0 : [0, 10, 40][random.below(3)]
        stumbles = isCalm ? 0 : [0, 4, 15][random.below(3)]
        latePreWires = isCalm ? 0 : [0, 60][random.below(2)]
        perMinute = random.chance(400) ? random.between(1, 4) : nil
        gap = random.chance(300) ? random.between(500, 4_000) : 0
        newRecipients = random.chance(200) ? random.between(1, 3) : nil

        var requests: [Request] = []
        for _ in 0..<random.between(6, 18) {
            let at = random.below(90_000)
            let sendAt = random.chance(150) ? at + random.between(2_000, 40_000) : nil
            requests.append(
                Request(
                    at: at, account: 0, recipient: random.below(recipients), sender: random.chance(300) ? random.below(senders) : nil,
                    policy: random.below(8), priority: random.below(3), sendAt: sendAt,
                    expiresAt: (sendAt ?? at) + random.between(5_000, [20_000, 120_000, 200_000][random.below(3)]), atMostOnce: random.chance(150),
                    failFast: random.chance(80), cancelAfter: random.chance(150) ? random.below(random.chance(500) ? 1_000 : 15_000) : nil))
        }
        self.requests = requests

        var faults: [(at: Int, fault: Fault)] = []
        var slack = 25_000 + (slowCalls > 0 ? 90_000 : 0)
        func add(_ most: Int, _ fault: (inout SplitMix64) -> Fault) {
            for _ in 0..<random.below(most + 1) {
                let at = random.below(150_000)
                faults.append((at, fault(&random)))
            }
        }
        let nodes = nodes
        let senders = senders
        if !isCalm {
            add(3) { .crash(node: $0.below(nodes), for: $0.between(500, 45_000)) }
            add(3) { .pause(node: $0.below(nodes), for: $0.between(1_000, 60_000)) }
            add(1) { .jump(node: $0.below(nodes), by: $0.between(-60_000, 60_000)) }
            add(2) { .databaseDown(for: $0.between(100, 15_000)) }
            add(4) { .drop(sender: $0.below(senders)) }
            add(3) { .release(node: $0.below(nodes)) }
            add(1) { _ in .loseCache }
            if random.chance(150) { add(1) { .remove(sender: $0.below(senders)) } }
            if random.chance(100) { add(1) { .logOut(sender: $0.below(senders)) } }
        }
        for entry in faults {
            switch entry.fault {
            case .crash(_, let time), .pause(_, let time), .databaseDown(let time): slack += time
            case .jump(_, let time): slack += abs(time)
            default: break
            }
        }
        self.faults = faults
        self.slack = slack
    }
}
