/// The limits that hold, with every default filled in. nil: none. A plain value without references, since the router copies it a lot.
package struct EffectiveLimits: Sendable, Hashable {
    package let perSecond: Int?
    package let perMinute: Int?
    package let perHour: Int?
    package let perDay: Int?
    package let newRecipientsPerDay: Int?
    package let warmUp: Bool
    /// Between two messages, in milliseconds: the gap, and up to how much chance adds to it. A cold recipient has its own.
    package let gap: Int
    package let gapJitter: Int
    package let coldGap: Int
    package let coldGapJitter: Int
    package let quietHours: QuietHours?
    /// Nothing holds messages back, ever.
    package let isUnlimited: Bool
    /// It matters whether the sender has written to the recipient before.
    package let dependsOnWarmth: Bool

    package init(
        perSecond: Int? = nil, perMinute: Int? = nil, perHour: Int? = nil, perDay: Int? = nil, newRecipientsPerDay: Int? = nil,
        warmUp: Bool = false, gap: Int = 0, gapJitter: Int = 0, coldGap: Int = 0, coldGapJitter: Int = 0, quietHours: QuietHours? = nil
    ) {
        self.perSecond = perSecond
        self.perMinute = perMinute
        self.perHour = perHour
        self.perDay = perDay
        self.newRecipientsPerDay = newRecipientsPerDay
        self.warmUp = warmUp
        self.gap = gap
        self.gapJitter = gapJitter
        self.coldGap = coldGap
        self.coldGapJitter = coldGapJitter
        self.quietHours = quietHours
        dependsOnWarmth = newRecipientsPerDay != nil || warmUp || gap != coldGap || gapJitter != coldGapJitter
        isUnlimited =
            perSecond == nil && perMinute == nil && perHour == nil && perDay == nil && newRecipientsPerDay == nil && !warmUp && quietHours == nil
            && gap == 0 && gapJitter == 0 && coldGap == 0 && coldGapJitter == 0
    }

    package static let none = EffectiveLimits()

    /// Of one window.
    package func cap(of window: LimitWindow) -> Int? {
        switch window {
        case .second: perSecond
        case .minute: perMinute
        case .hour: perHour
        case .day: perDay
        }
    }

    /// The pause after a message, in milliseconds; `chance` in 0..<1 is the caller's.
    package func pause(isCold: Bool, chance: Double) -> Int {
        isCold ? coldGap + Int(Double(coldGapJitter) * chance) : gap + Int(Double(gapJitter) * chance)
    }
}
