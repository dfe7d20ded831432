import Foundation
import SignalProtocol

/// How often a device may ask for a message again and have its Signal session rebuilt (protocol.md 12.4). Forgets after an hour; bounded.
struct RetryPolicy: Sendable {
    private struct Request: Hashable {
        var device: SignalAddress
        var message: String
    }

    private struct Count {
        var value: Int
        var since: Date
    }

    private var requests: [Request: Count] = [:]
    private var fetches: [SignalAddress: Date] = [:]
    private var rebuilds: [SignalAddress: Count] = [:]

    /// Whether a retry receipt is answered. `count` is the device's own counter: it survives our restarts.
    mutating func admits(device: SignalAddress, message: String, count: Int, now: Date) -> Bool {
        guard (1...Self.limit).contains(count) else { return false }
        trim(now)
        let key = Request(device: device, message: message)
        let seen = requests[key] ?? Count(value: 0, since: now)
        guard seen.value < Self.limit, requests.count < Self.capacity else { return false }
        requests[key] = Count(value: seen.value + 1, since: seen.since)
        return true
    }

    /// Whether a bundle may be fetched to rebuild this device's session: once an hour. Counts as done.
    mutating func mayFetchBundle(for device: SignalAddress, now: Date) -> Bool {
        trim(now)
        guard fetches[device] == nil, fetches.count < Self.capacity else { return false }
        fetches[device] = now
        return true
    }

    /// Whether keys that a device sent along may replace its session: ten times an hour. Counts as done.
    mutating func mayRebuildFromKeys(of device: SignalAddress, now: Date) -> Bool {
        trim(now)
        let seen = rebuilds[device] ?? Count(value: 0, since: now)
        guard seen.value < Self.rebuildsPerHour, rebuilds.count < Self.capacity else { return false }
        rebuilds[device] = Count(value: seen.value + 1, since: seen.since)
        return true
    }

    /// Drops what is older than an hour, whenever a table has grown to half its capacity or the hour is over.
    private mutating func trim(_ now: Date) {
        let horizon = now.addingTimeInterval(-3_600)
        if now >= nextTrim || requests.count > Self.capacity / 2 || rebuilds.count > Self.capacity / 2 {
            requests = requests.filter { $0.value.since > horizon }
            fetches = fetches.filter { $0.value > horizon }
            rebuilds = rebuilds.filter { $0.value.since > horizon }
            nextTrim = now.addingTimeInterval(60)
        }
    }

    private var nextTrim = Date.distantPast
    /// Answers per device and message.
    static let limit = 5
    private static let rebuildsPerHour = 10
    private static let capacity = 4_096
}
