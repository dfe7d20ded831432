package import Foundation

/// Whether limits let a message leave, from when on, and how many may. Pure: the same rows give the same answer on every node.
package enum LimitCheck {
    package struct Verdict: Sendable, Hashable {
        /// The moment that was asked about, or the first one at which every limit allows it.
        package let allowedAt: Date
        /// The limit that ends last; nil: it may leave now.
        package let limitedBy: LimitCode?
    }

    /// When a message may leave that is due at `moment`.
    /// - Parameters:
    ///   - pairedAt: of the sender, for the warm-up; a pool has none.
    ///   - isCold: the sender has never written to the recipient.
    ///   - zone: the recipient's; needed only if there are quiet hours.
    ///   - pacing: whether the gap between two messages counts. The dispatcher keeps to it; a route is not changed for it.
    package static func verdict(
        _ limits: EffectiveLimits, _ usage: SendingUsage, pairedAt: Date?, isCold: Bool, priority: Priority, zone: RecipientZone?,
        pacing: Bool = true, at moment: Date
    ) -> Verdict {
        if limits.isUnlimited { return Verdict(allowedAt: moment, limitedBy: nil) }
        var allowedAt = moment
        var limitedBy: LimitCode?
        // Each round waits for what ends last; then the windows are others, and it may be night. Days roll over once, so few rounds do.
        for _ in 0..<16 {
            let at = allowedAt
            func wait(until end: Date, _ code: LimitCode) {
                guard end > allowedAt else { return }
                allowedAt = end
                limitedBy = code
            }
            func check(_ window: LimitWindow, _ cap: Int?) {
                guard let cap, usage.used(in: window, at: at) >= cap else { return }
                wait(until: window.start(at: at).addingTimeInterval(window.length), window.code)
            }
            check(.second, limits.perSecond)
            check(.minute, limits.perMinute)
            check(.hour, limits.perHour)
            check(.day, limits.perDay)
            if isCold, let first = firstContacts(limits, usage, pairedAt: pairedAt, at: at), first.left <= 0 { wait(until: first.more, first.code) }
            if pacing, usage.nextAt > at { wait(until: usage.nextAt, .gap) }
            if priority != .high, let quiet = limits.quietHours, let zone, let end = zone.end(of: quiet, at: at) { wait(until: end, .quietHours) }
            if allowedAt == at { break }
        }
        return Verdict(allowedAt: allowedAt, limitedBy: limitedBy)
    }

    package struct Budget: Sendable, Hashable {
        /// Messages that the running windows still allow; `Int.max`: no window limits them.
        package let messages: Int
        /// How many of them may be first contacts.
        package let firstContacts: Int
        /// Nothing leaves before this: the gap, or the end of the window that is used up. The moment itself if something may leave.
        package let opensAt: Date
        /// There is a pause after each message: one at a time.
        package let isPaced: Bool
    }

    /// How many may leave right now. Quiet hours are each recipient's own and are not looked at.
    package static func budget(_ limits: EffectiveLimits, _ usage: SendingUsage, pairedAt: Date?, at moment: Date) -> Budget {
        let isPaced = limits.gap + limits.gapJitter > 0 || limits.coldGap + limits.coldGapJitter > 0
        var messages = isPaced ? 1 : Int.max
        for window in LimitWindow.allCases {
            guard let cap = limits.cap(of: window) else { continue }
            messages = min(messages, max(0, cap - usage.used(in: window, at: moment)))
        }
        let first = firstContacts(limits, usage, pairedAt: pairedAt, at: moment).map { max(0, $0.left) } ?? .max
        let opens = verdict(limits, usage, pairedAt: pairedAt, isCold: false, priority: .high, zone: nil, at: moment).allowedAt
        if opens > moment { messages = 0 }
        return Budget(messages: messages, firstContacts: min(first, messages), opensAt: opens, isPaced: isPaced)
    }

    /// How many first contacts are left today and when there will be more; nil: as many as one likes.
    private static func firstContacts(
        _ limits: EffectiveLimits, _ usage: SendingUsage, pairedAt: Date?, at moment: Date
    ) -> (left: Int, more: Date, code: LimitCode)? {
        let age = WarmUp.age(pairedAt: pairedAt, at: moment)
        let isWarming = limits.warmUp && age < WarmUp.days
        guard isWarming || limits.newRecipientsPerDay != nil else { return nil }
        let full = limits.newRecipientsPerDay ?? WarmUp.standard
        let used = usage.newRecipients(at: moment)
        let cap = isWarming ? WarmUp.allowance(full: full, age: age) : full
        var more = LimitWindow.day.start(at: moment).addingTimeInterval(LimitWindow.day.length)
        // The allowance rises at the hour of the pairing, which may be before midnight.
        if isWarming, let pairedAt, pairedAt <= moment, WarmUp.allowance(full: full, age: age + 1) > used {
            more = min(more, pairedAt.addingTimeInterval(Double(age + 1) * WarmUp.day))
        }
        return (cap - used, more, cap < full ? .warmUp : .newRecipientsPerDay)
    }
}
