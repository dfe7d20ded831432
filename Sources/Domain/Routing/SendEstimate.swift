import Foundation

/// When a message will probably leave its sender: not before its limits allow it, and after everything that waits before it.
struct SendEstimate {
    /// nil: nobody knows.
    let sendAt: Date?
    /// What governs it; nil: it leaves at once, or no limit is in the way.
    let limitedBy: LimitCode?

    init(_ weight: RouteWeight, pool: Int?, _ question: RouteQuestion, _ snapshot: RoutingSnapshot) {
        guard weight.isKnown else {
            sendAt = nil
            limitedBy = weight.limitedBy
            return
        }
        var latest = weight.availableAt
        var code = weight.limitedBy
        func wait(until moment: Date, _ reason: LimitCode) {
            guard moment > latest else { return }
            latest = moment
            code = reason
        }
        let place = weight.place
        Self.lines(snapshot.candidates[place].limits, snapshot.candidates[place].usage, queued: snapshot.candidates[place].queued, question.at) {
            wait(until: $0, $1)
        }
        if let pool { Self.lines(snapshot.pools[pool].limits, snapshot.pools[pool].usage, queued: 0, question.at) { wait(until: $0, $1.ofPool) } }
        sendAt = latest
        limitedBy = code
    }

    /// Where the ends of the lines are: of the gaps between messages, and of windows that are promised already. The messages that wait are
    /// taken for messages to people the sender knows.
    private static func lines(
        _ limits: EffectiveLimits, _ usage: SendingUsage, queued: Int, _ at: Date, _ wait: (Date, LimitCode) -> Void
    ) {
        if limits.isUnlimited { return }
        let spacing = (Double(limits.gap) + Double(limits.gapJitter) / 2) / 1000
        wait(max(at, usage.nextAt).addingTimeInterval(Double(queued) * spacing), .gap)
        for window in LimitWindow.allCases {
            guard let cap = limits.cap(of: window) else { continue }
            let over = usage.used(in: window, at: at) - cap
            guard over >= 0 else { continue }
            wait(window.start(at: at).addingTimeInterval(Double(1 + over / cap) * window.length), window.code)
        }
    }
}
