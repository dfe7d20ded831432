package import Foundation

/// The windows that limits count in: they begin at full UTC seconds, minutes, hours and days, the same on every node.
package enum LimitWindow: Sendable, CaseIterable {
    case second, minute, hour, day

    package var length: TimeInterval {
        switch self {
        case .second: 1
        case .minute: 60
        case .hour: 3600
        case .day: 86_400
        }
    }

    var code: LimitCode {
        switch self {
        case .second: .perSecond
        case .minute: .perMinute
        case .hour: .perHour
        case .day: .perDay
        }
    }

    /// The start of the window that `moment` lies in. 1970 and `Date`'s own zero are both midnight in UTC.
    package func start(at moment: Date) -> Date {
        Date(timeIntervalSinceReferenceDate: (moment.timeIntervalSinceReferenceDate / length).rounded(.down) * length)
    }
}

/// What a sender, or a pool, has sent in its windows. A window that is over counts as empty. Without references: the router copies it a lot.
package struct SendingUsage: Sendable, Hashable {
    package struct Window: Sendable, Hashable {
        package var start: Date
        package var used: Int

        package init(start: Date = .distantPast, used: Int = 0) {
            self.start = start
            self.used = used
        }
    }

    package var second: Window
    package var minute: Window
    package var hour: Window
    package var day: Window
    /// First contacts within `day`.
    package var newRecipients: Int
    /// The gap after the last message ends then.
    package var nextAt: Date

    package init(
        second: Window = Window(), minute: Window = Window(), hour: Window = Window(), day: Window = Window(), newRecipients: Int = 0,
        nextAt: Date = .distantPast
    ) {
        self.second = second
        self.minute = minute
        self.hour = hour
        self.day = day
        self.newRecipients = newRecipients
        self.nextAt = nextAt
    }

    /// Nothing sent yet.
    package static let none = SendingUsage()

    /// How many count in the window that `moment` lies in. A window that begins later (another node's clock is ahead) counts too.
    package func used(in window: LimitWindow, at moment: Date) -> Int {
        let counter = self[window]
        return counter.start >= window.start(at: moment) ? counter.used : 0
    }

    package func newRecipients(at moment: Date) -> Int { day.start >= LimitWindow.day.start(at: moment) ? newRecipients : 0 }

    /// Counts messages that leave, or are promised, at `moment`, in each of its windows.
    package mutating func add(_ count: Int = 1, cold: Int = 0, at moment: Date) {
        if day.start < LimitWindow.day.start(at: moment) { newRecipients = 0 }
        newRecipients += cold
        for window in LimitWindow.allCases {
            let start = window.start(at: moment)
            if self[window].start < start {
                self[window] = Window(start: start, used: count)
            } else {
                self[window].used += count
            }
        }
    }

    private subscript(window: LimitWindow) -> Window {
        get {
            switch window {
            case .second: second
            case .minute: minute
            case .hour: hour
            case .day: day
            }
        }
        set {
            switch window {
            case .second: second = newValue
            case .minute: minute = newValue
            case .hour: hour = newValue
            case .day: day = newValue
            }
        }
    }
}
