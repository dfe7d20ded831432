package import CoreMetrics
import Synchronization

/// A number that many threads add to without a lock.
final class AtomicDouble: Sendable {
    private let bits = Atomic<UInt64>(0)

    var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }

    func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }

    func add(_ amount: Double) {
        var known = bits.load(ordering: .relaxed)
        while true {
            let (exchanged, original) = bits.compareExchange(
                expected: known, desired: (Double(bitPattern: known) + amount).bitPattern, ordering: .relaxed)
            if exchanged { return }
            known = original
        }
    }
}

/// A counter under one combination of label values.
final class CounterSeries: CounterHandler, FloatingPointCounterHandler {
    private let count = AtomicDouble()

    var value: Double { count.value }

    func increment(by amount: Int64) { increment(by: Double(amount)) }
    /// A counter never falls: anything but a positive number is ignored.
    func increment(by amount: Double) {
        if amount > 0, amount.isFinite { count.add(amount) }
    }
    func reset() { count.set(0) }
}

/// A gauge under one combination of label values.
final class GaugeSeries: MeterHandler, RecorderHandler {
    private let level = AtomicDouble()

    var value: Double { level.value }

    func set(_ value: Int64) { level.set(Double(value)) }
    func set(_ value: Double) { level.set(value) }
    func increment(by amount: Double) { level.add(amount) }
    func decrement(by amount: Double) { level.add(-amount) }
    func record(_ value: Int64) { set(value) }
    func record(_ value: Double) { set(value) }
}

/// A histogram under one combination of label values: one atomic counter a bucket, so that recording costs two additions.
final class HistogramSeries: RecorderHandler, TimerHandler {
    private final class Bucket: Sendable {
        let count = Atomic<Int>(0)
    }

    private let bounds: [Double]
    private let buckets: [Bucket]
    private let total = AtomicDouble()

    init(bounds: [Double]) {
        self.bounds = bounds
        buckets = (0...bounds.count).map { _ in Bucket() }
    }

    /// Values at most each bound, and all; what is recorded meanwhile is in none of them or in all above it.
    var cumulative: [Int] {
        var sum = 0
        return buckets.map { bucket in
            sum += bucket.count.load(ordering: .relaxed)
            return sum
        }
    }
    var sum: Double { total.value }

    func record(_ value: Int64) { record(Double(value)) }
    func record(_ value: Double) {
        guard value.isFinite else { return }
        // A dozen bounds: looking from the left is as quick as halving.
        let index = bounds.firstIndex { value <= $0 } ?? bounds.count
        buckets[index].count.add(1, ordering: .relaxed)
        total.add(value)
    }
    /// Timers record seconds.
    func recordNanoseconds(_ duration: Int64) { record(Double(max(0, duration)) / 1e9) }
}
