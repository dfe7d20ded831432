package import Domain
package import Foundation
import Synchronization

/// How often programs may ask, as buckets that fill evenly: one per API key and one per account. Kept in this process's memory, so several
/// nodes each allow as much. A batch is one request.
package struct RequestLimits: Sendable {
    /// Requests a second that a key may make for ever; 0: no limit.
    package var perKey: Int
    /// The same for all keys of an account together.
    package var perAccount: Int
    /// A bucket holds as many seconds' worth, so that a program may be that far ahead of itself.
    package var burstSeconds: Int

    package init(perKey: Int = 0, perAccount: Int = 0, burstSeconds: Int = 10) {
        self.perKey = perKey
        self.perAccount = perAccount
        self.burstSeconds = burstSeconds
    }

    var isOn: Bool { perKey > 0 || perAccount > 0 }
}

/// The buckets themselves.
final class RequestBuckets: Sendable {
    /// Which limit; the raw value is what problems and headers name.
    enum Name: String, Sendable {
        case perKey = "requests_per_key"
        case perAccount = "requests_per_account"
    }

    /// How one bucket stands after a request.
    struct Standing: Sendable, Equatable {
        let name: Name
        /// What a full bucket holds, and in how many seconds an empty one is full again.
        let quota: Int
        let window: Int
        let remaining: Int
        /// Seconds until the bucket is full again; for one that is empty: until there is one request in it.
        let reset: Int
    }

    struct Answer: Sendable {
        let standings: [Standing]
        /// The limit that refused the request; nothing was taken from any bucket then.
        let refused: Standing?
    }

    private enum Subject: Hashable {
        case key(APIKey.ID)
        case account(Account.ID)
    }

    private struct Bucket {
        var tokens: Double
        var at: Date
    }

    /// Buckets remembered at once. Beyond that those that are full again are forgotten, and if none is, all.
    private static let capacity = 20_000

    private let limits: RequestLimits
    private let buckets = Mutex<[Subject: Bucket]>([:])

    init(_ limits: RequestLimits) { self.limits = limits }

    /// Takes one request from the caller's buckets, from all of them or from none.
    func take(_ caller: Caller, now: Date) -> Answer {
        var wanted: [(name: Name, subject: Subject, rate: Int)] = []
        if limits.perKey > 0, let key = caller.key { wanted.append((.perKey, .key(key), limits.perKey)) }
        if limits.perAccount > 0 { wanted.append((.perAccount, .account(caller.account), limits.perAccount)) }
        return buckets.withLock { buckets in
            if buckets.count >= Self.capacity { forget(&buckets, now) }
            var levels = wanted.map { level(buckets[$0.subject], rate: $0.rate, now) }
            let isAllowed = levels.allSatisfy { $0 >= 1 }
            if isAllowed { levels = levels.map { $0 - 1 } }
            for (entry, level) in zip(wanted, levels) { buckets[entry.subject] = Bucket(tokens: level, at: now) }
            let standings = zip(wanted, levels).map { standing($0.name, rate: $0.rate, level: $1) }
            return Answer(standings: standings, refused: isAllowed ? nil : standings.filter { $0.remaining == 0 }.max { $0.reset < $1.reset })
        }
    }

    private func capacity(_ rate: Int) -> Double { Double(rate * limits.burstSeconds) }

    private func level(_ bucket: Bucket?, rate: Int, _ now: Date) -> Double {
        guard let bucket else { return capacity(rate) }
        return min(capacity(rate), bucket.tokens + max(0, now.timeIntervalSince(bucket.at)) * Double(rate))
    }

    private func standing(_ name: Name, rate: Int, level: Double) -> Standing {
        let missing = level < 1 ? 1 - level : capacity(rate) - level
        let reset = Int((missing / Double(rate)).rounded(.up))
        return Standing(
            name: name, quota: rate * limits.burstSeconds, window: limits.burstSeconds, remaining: Int(level),
            reset: level < 1 ? max(1, reset) : reset)
    }

    private func forget(_ buckets: inout [Subject: Bucket], _ now: Date) {
        buckets = buckets.filter { subject, bucket in
            let rate = if case .key = subject { limits.perKey } else { limits.perAccount }
            return level(bucket, rate: rate, now) < capacity(rate)
        }
        if buckets.count >= Self.capacity { buckets.removeAll() }
    }
}
