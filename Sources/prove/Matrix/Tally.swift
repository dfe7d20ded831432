import Synchronization

/// How often what was answered.
final class Tally: Sendable {
    private let counts = Mutex<[Int: Int]>([:])

    func count(_ status: Int) { counts.withLock { $0[status, default: 0] += 1 } }

    func sum(_ range: Range<Int>) -> Int { counts.withLock { counts in counts.reduce(0) { range.contains($1.key) ? $0 + $1.value : $0 } } }

    /// Server errors that a client saw.
    var serverErrors: Int { sum(500..<600) }
    var unanswered: Int { sum(0..<1) }

    var description: String {
        counts.withLock { counts in
            counts.sorted { $0.key < $1.key }.map { "\($0.value) × \($0.key == 0 ? "no answer" : "\($0.key)")" }.joined(separator: ", ")
        }
    }
}
