import Domain
import Foundation
import TestSupport
import Testing

/// Random accounts and questions: the router and `explain` against the oracle.
@Suite struct RouteOracleTests {
    @Test func `ten thousand random decisions and explanations are those of the oracle`() {
        var random = CaseRandom(state: 20_261_121)
        var differences: [String] = []
        var decided = 0
        for number in 1...10_000 {
            let (snapshot, question) = RouteCase.make(&random)
            let oracle = RouteOracle(snapshot: snapshot, question: question)
            let difference = Self.difference(Router.decide(question, in: snapshot, explaining: true), oracle.answer(), question, snapshot)
            if let difference { differences.append("case \(number): \(difference)") }
            if Router.decide(question, in: snapshot).sender != Router.decide(question, in: snapshot, explaining: true).sender {
                differences.append("case \(number): explain chooses another sender")
            }
            if !oracle.answer().among.isEmpty { decided += 1 }
        }
        #expect(differences.isEmpty, "\(differences.count) differ: \(differences.prefix(5).joined(separator: "\n"))")
        #expect(decided > 4_500)
    }

    @Test func `sticky is a fixed order of senders for each recipient, and every sender has its own people`() {
        var random = CaseRandom(state: 7)
        let now = Date(timeIntervalSince1970: 1_780_000_000)
        let senders = (0..<6).map { _ in Sender.ID(random.uuid()) }
        let snapshot = RoutingSnapshot(
            candidates: senders.map { RoutingSnapshot.Candidate(sender: $0, isTest: true, state: .ready) },
            pools: [
                RoutingSnapshot.PoolMembers(id: Pool.ID(random.uuid()), policy: .sticky, members: senders.map { .init($0) }, isDefault: true)
            ], takenAt: now)
        func choice(_ recipient: [UInt8], without: Set<Sender.ID> = []) -> Sender.ID? {
            Router.decide(
                RouteQuestion(request: .defaultPool(), isTest: true, recipientIndex: recipient, excluded: without, at: now), in: snapshot
            ).sender
        }
        var people: [Sender.ID: Int] = [:]
        for _ in 0..<600 {
            let recipient = random.bytes(16)
            let first = choice(recipient)
            people[first!, default: 0] += 1
            // Whoever wins against all wins every duel; that is what rendezvous hashing means.
            for other in senders where other != first {
                #expect(choice(recipient, without: [other]) == first)
                #expect(choice(recipient, without: Set(senders).subtracting([first!, other])) == first)
            }
        }
        #expect(people.count == 6 && people.values.allSatisfy { (60...145).contains($0) })
    }

    /// nil: they agree.
    static func difference(_ decision: RouteDecision, _ answer: RouteOracle.Answer, _ question: RouteQuestion, _ snapshot: RoutingSnapshot) -> String?
    {
        if answer.isMissing {
            let isSaid = decision.failure == .senderNotFound || decision.failure == .poolNotFound
            return isSaid && decision.sender == nil ? nil : "should be missing, is \(String(describing: decision.failure))"
        }
        if let sender = decision.sender {
            guard answer.among.contains(sender) else {
                return
                    "\(place(sender, snapshot)) chosen of \(answer.among.map { place($0, snapshot) }) by \(answer.policy!); \(answer.standings.map { (place($0.key, snapshot), $0.value) }), at \(question.at) until \(question.expiresAt)"
            }
            if answer.isTooLate {
                if decision.availableAt.map({ $0 < question.expiresAt }) ?? true { return "available in time" }
            } else if decision.availableAt != answer.availableAt {
                return
                    "\(place(sender, snapshot)) available at \(String(describing: decision.availableAt)), not \(String(describing: answer.availableAt)), asked at \(question.at)"
            }
            let isNow = answer.standings[sender] == .now
            if decision.isWaiting == isNow { return "isWaiting is \(decision.isWaiting)" }
            if decision.failure != nil { return "failure \(decision.failure!)" }
        } else {
            guard answer.among.isEmpty else { return "nobody chosen of \(answer.among.count), failure \(String(describing: decision.failure))" }
            if (decision.failure == .nobodyNow) != answer.isNobodyNow { return "failure \(String(describing: decision.failure))" }
            if decision.failure == nil { return "no failure" }
        }
        for considered in decision.considered {
            guard let standing = answer.standings[considered.sender] else { continue }
            let isRight =
                switch standing {
                case .now: considered.availableAt == question.at
                case .later(let date) where date >= question.expiresAt: considered.availableAt.map { $0 >= question.expiresAt } ?? false
                case .later(let date): considered.availableAt == date
                case .unknown, .needsPerson, .never: considered.availableAt == nil
                }
            if !isRight {
                return
                    "explained \(place(considered.sender, snapshot)) as \(considered.verdict) at \(String(describing: considered.availableAt)), not \(standing), asked at \(question.at)"
            }
        }
        let explained = Set(decision.considered.map(\.sender))
        if !answer.standings.keys.allSatisfy(explained.contains) { return "explain leaves senders out" }
        if decision.considered.filter(\.isChosen).map(\.sender) != (decision.sender.map { [$0] } ?? []) { return "explain marks another sender" }
        return nil
    }

    private static func place(_ sender: Sender.ID, _ snapshot: RoutingSnapshot) -> Int {
        snapshot.candidates.firstIndex { $0.sender == sender } ?? -1
    }
}

/// Chance for test cases, the same every time.
struct CaseRandom: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
    mutating func pick<Element>(_ list: [Element]) -> Element { list[below(list.count)] }
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }
    mutating func uuid() -> UUID {
        let bytes = bytes(16)
        return UUID(
            uuid: (
                bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7], bytes[8], bytes[9], bytes[10], bytes[11], bytes[12],
                bytes[13], bytes[14], bytes[15]
            ))
    }
}

/// One random account and one random question about it.
enum RouteCase {
    static func make(_ random: inout CaseRandom) -> (RoutingSnapshot, RouteQuestion) {
        let now = Date(timeIntervalSince1970: Double(1_780_000_000 + random.below(40_000_000)) + Double(random.below(4)) / 4)
        let senders = (0..<random.below(7)).map { _ in Sender.ID(random.uuid()) }
        let candidates = senders.map { candidate($0, now, &random) }
        let pools = (0..<random.below(3) + 1).map { index in
            var members = senders.filter { _ in random.chance(75) }
            if random.chance(10) { members.append(Sender.ID(random.uuid())) }
            members.shuffle(using: &random)
            return RoutingSnapshot.PoolMembers(
                id: Pool.ID(random.uuid()), policy: random.pick(RoutingPolicy.ofPools),
                members: members.map { sender in
                    RoutingSnapshot.Member(
                        sender, weight: random.pick([0, 0, 1, 1, 5, 1000]),
                        prefixes: random.chance(40)
                            ? [] : (0..<random.below(3) + 1).map { _ in random.pick(["6", "62", "628", "65", "4", "49", "91", "1"]) })
                }, isDefault: index == 0 && random.chance(95), limits: random.chance(70) ? .none : limits(&random),
                usage: usage(now, &random))
        }
        let request: RouteRequest =
            switch random.below(4) {
            case 0: .sender(senders.isEmpty || random.chance(5) ? Sender.ID(random.uuid()) : random.pick(senders))
            case 1:
                .pool(
                    random.chance(4) ? Pool.ID(random.uuid()) : random.pick(pools).id,
                    policy: random.chance(50) ? nil : random.pick(RoutingPolicy.ofPools))
            default: .defaultPool(policy: random.chance(50) ? nil : random.pick(RoutingPolicy.ofPools))
            }
        func some(_ percent: Int) -> Set<Sender.ID> { Set(senders.filter { _ in random.chance(percent) }) }
        let at = random.chance(80) ? now : now.addingTimeInterval(Double(random.below(90_000)))
        let question = RouteQuestion(
            request: request, isTest: random.chance(85), allowedSenders: random.chance(80) ? nil : some(60), recipientIndex: random.bytes(16),
            digits: random.pick(["6281234567890", "6591234567", "4915112345678", "919876543210", "62987654321"]),
            priority: random.pick(Priority.allCases), failFast: random.chance(25), excluded: random.chance(80) ? [] : some(40), warm: some(30),
            refused: random.chance(85) ? [] : some(30), at: at, expiresAt: at.addingTimeInterval(random.pick([30, 300, 7_200, 86_400, 604_800])),
            turn: UInt64(random.below(50)), seed: random.next())
        return (RoutingSnapshot(candidates: candidates, pools: pools, takenAt: now), question)
    }

    private static func candidate(_ sender: Sender.ID, _ now: Date, _ random: inout CaseRandom) -> RoutingSnapshot.Candidate {
        func later() -> Date { random.chance(75) ? .distantPast : now.addingTimeInterval(Double(random.below(20_000) - 4_000)) }
        let health = SenderHealth(pausedUntil: later(), newChatsUntil: later(), demotedUntil: later())
        return RoutingSnapshot.Candidate(
            sender: sender, isTest: random.chance(85),
            state: random.chance(65) ? .ready : random.pick(SenderState.allCases.filter { $0 != .removed }),
            stateSince: now.addingTimeInterval(-Double(random.below(100))), isOwned: random.chance(92),
            pairedAt: random.chance(90) ? now.addingTimeInterval(-Double(random.below(40 * 86_400))) : nil,
            limits: random.chance(55) ? .none : limits(&random), usage: usage(now, &random), health: health, queued: random.below(4))
    }

    private static func limits(_ random: inout CaseRandom) -> EffectiveLimits {
        func some(_ values: [Int]) -> Int? { random.chance(60) ? nil : random.pick(values) }
        let from = random.below(1440)
        return EffectiveLimits(
            perSecond: some([1, 2]), perMinute: some([1, 3, 10]), perHour: some([5, 20]), perDay: some([10, 50]),
            newRecipientsPerDay: some([1, 10, 25, 300]), warmUp: random.chance(30), gap: 500, gapJitter: 1000, coldGap: 3000, coldGapJitter: 7000,
            quietHours: random.chance(70) ? nil : QuietHours(from: from, to: (from + 1 + random.below(700)) % 1440))
    }

    private static func usage(_ now: Date, _ random: inout CaseRandom) -> SendingUsage {
        func window(_ length: Double, _ most: Int) -> SendingUsage.Window {
            // Of now, of the one before, or of the next (another node's clock is ahead).
            let start =
                (now.timeIntervalSince1970 / length).rounded(.down) * length + random.pick([0, 0, 0, -length, random.chance(10) ? length : 0])
            return SendingUsage.Window(start: Date(timeIntervalSince1970: start), used: random.below(most))
        }
        if random.chance(30) { return .none }
        return SendingUsage(
            second: window(1, 3), minute: window(60, 6), hour: window(3600, 24), day: window(86_400, 60), newRecipients: random.below(40),
            nextAt: random.chance(50) ? .distantPast : now.addingTimeInterval(Double(random.below(10))))
    }
}
