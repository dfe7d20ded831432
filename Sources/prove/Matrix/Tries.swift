import Synchronization

/// Every single try to get an answer of the API, in the order in which they ended.
final class Tries: Sendable {
    struct Try: Sendable {
        /// 0: no answer in time.
        var status: Int
        var retryAfter: Int?
        var began: ContinuousClock.Instant
        var took: Duration

        var end: ContinuousClock.Instant { began + took }
    }

    private let list = Mutex<[Try]>([])

    func add(_ one: Try) { list.withLock { $0.append(one) } }

    /// Those that began in this time.
    func began(since start: ContinuousClock.Instant, until end: ContinuousClock.Instant? = nil) -> Span {
        Span(tries: list.withLock { tries in tries.filter { one in one.began >= start && (end.map { one.began < $0 } ?? true) } })
    }

    struct Span: Sendable {
        var tries: [Try]

        func count(_ status: Int) -> Int { tries.count { $0.status == status } }
        /// Answers that are neither good nor one of these.
        func others(than statuses: Set<Int>) -> Int { tries.count { !(200..<300).contains($0.status) && !statuses.contains($0.status) } }
        var slowest: Duration { tries.map(\.took).max() ?? .zero }
        func slowest(_ status: Int) -> Duration { tries.filter { $0.status == status }.map(\.took).max() ?? .zero }
        /// 503 without a word when to come again, or with one that is later than two seconds.
        var vague: Int { tries.count { $0.status == 503 && !(1...2).contains($0.retryAfter ?? 0) } }
        /// The first good answer that came after this moment.
        func firstGood(after moment: ContinuousClock.Instant) -> Duration? {
            tries.filter { (200..<300).contains($0.status) && $0.end >= moment }.map { $0.end - moment }.min()
        }
        /// All but one in twenty were answered within this time.
        var p95: Duration {
            let times = tries.map(\.took).sorted()
            return times.isEmpty ? .zero : times[min(times.count - 1, times.count * 95 / 100)]
        }

        /// `300 × 202, 12 × 503 (slowest 2.1 s)`
        var description: String {
            Dictionary(grouping: tries, by: \.status).sorted { $0.key < $1.key }.map { status, tries in
                "\(tries.count) × \(status == 0 ? "no answer" : "\(status)") (slowest \(tenths((tries.map(\.took).max() ?? .zero) / .seconds(1))) s)"
            }.joined(separator: ", ")
        }
    }
}
