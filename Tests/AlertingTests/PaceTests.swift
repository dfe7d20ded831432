import Foundation
import Testing

@testable import Alerting

@Suite struct PaceTests {
    private let start = Date(timeIntervalSince1970: 1_780_000_000)

    /// Takes as fast as it is allowed for so long, and returns when each was taken, in seconds.
    private func times(for seconds: Double, _ take: (Date) -> Date?) -> [Double] {
        var now = start
        var times: [Double] = []
        while now.timeIntervalSince(start) < seconds {
            if let until = take(now) {
                // It never asks for a moment that is not later.
                guard until > now else { return [] }
                now = until
            } else {
                times.append(now.timeIntervalSince(start))
            }
        }
        return times
    }

    private func most(_ times: [Double], within span: Double) -> Int {
        times.map { from in times.count { $0 >= from && $0 < from + span } }.max() ?? 0
    }

    @Test func `A private chat gets one message a second after a short burst`() {
        let pace = TelegramPace()
        let taken = times(for: 60) { pace.take(1, now: $0) }
        #expect(taken.prefix(3) == [0, 0, 0])
        #expect((60...63).contains(taken.count))
        #expect(most(taken, within: 1) <= 4)
    }

    @Test func `A group gets no more than twenty messages in any minute`() {
        let pace = TelegramPace()
        let taken = times(for: 600) { pace.take(-1, now: $0) }
        #expect(most(taken, within: 60) <= 20)
        #expect(taken.count > 160)
    }

    @Test func `All chats together get no more than thirty messages in any second`() {
        let pace = TelegramPace()
        var chat: Int64 = 0
        let taken = times(for: 10) { now in
            let wait = pace.take(chat, now: now)
            if wait == nil { chat += 1 }
            return wait
        }
        #expect(most(taken, within: 1) <= 30)
        #expect(taken.count >= 150)
    }

    @Test func `Telegram's own wait is kept to the second, and holds up nobody else until a second chat gets one`() {
        let pace = TelegramPace()
        pace.pause(1, until: start.addingTimeInterval(35), now: start)
        #expect(pace.take(1, now: start.addingTimeInterval(34.9)) == start.addingTimeInterval(35))
        #expect(pace.take(2, now: start) == nil)
        pace.pause(2, until: start.addingTimeInterval(10), now: start)
        #expect(pace.take(3, now: start.addingTimeInterval(9)) == start.addingTimeInterval(10))
        #expect(pace.take(3, now: start.addingTimeInterval(10)) == nil)
        #expect(pace.take(1, now: start.addingTimeInterval(35)) == nil)
    }

    @Test(arguments: [1, 2, 10]) func `Resend is never asked more often than the team may`(_ perSecond: Int) {
        let pace = ResendPace(perSecond: perSecond)
        let taken = times(for: 30) { pace.take(now: $0) }
        #expect(most(taken, within: 1) <= perSecond)
        #expect(taken.count >= 15 * perSecond - 1)
        pace.pause(until: start.addingTimeInterval(100))
        #expect(pace.take(now: start.addingTimeInterval(99)) == start.addingTimeInterval(100))
    }

    @Test func `A clock that is set back brings nothing and takes nothing`() {
        var bucket = TokenBucket(capacity: 1, perSecond: 1, now: start)
        bucket.take(start)
        #expect(bucket.next(start.addingTimeInterval(-3_600)) == start.addingTimeInterval(-3_599))
        #expect(bucket.next(start.addingTimeInterval(1)) == nil)
    }
}
