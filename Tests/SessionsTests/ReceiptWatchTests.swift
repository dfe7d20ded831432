import Foundation
import Testing

@testable import Sessions

@Suite struct ReceiptWatchTests {
    private let start = Date(timeIntervalSince1970: 1_780_000_000)

    private func watch(acknowledged: Int, received: Int) -> ReceiptWatch {
        var watch = ReceiptWatch()
        for index in 0..<acknowledged { watch.acknowledged("id-\(index)", at: start.addingTimeInterval(Double(index))) }
        watch.received((0..<received).map { "id-\($0)" })
        return watch
    }

    @Test(arguments: [(19, 0, false), (20, 0, true), (20, 9, true), (20, 10, false), (60, 29, true), (60, 30, false)])
    func `a sender is demoted when fewer than half of enough messages arrived`(sent: Int, received: Int, isDemoted: Bool) {
        var watch = watch(acknowledged: sent, received: received)
        let later = start.addingTimeInterval(700)

        let change = watch.judge(at: later)

        #expect(change == (isDemoted ? .demote(until: later.addingTimeInterval(1_800)) : nil))
    }

    @Test func `messages of the last ten minutes prove nothing yet`() {
        var watch = watch(acknowledged: 20, received: 0)
        #expect(watch.judge(at: start.addingTimeInterval(600)) == nil)
        #expect(watch.judge(at: start.addingTimeInterval(618)) == nil)
        #expect(watch.judge(at: start.addingTimeInterval(619)) != nil)
    }

    @Test func `late receipts bring it back, but not within a minute`() {
        var watch = watch(acknowledged: 20, received: 0)
        let demoted = start.addingTimeInterval(700)
        #expect(watch.judge(at: demoted) != nil)
        watch.received((0..<20).map { "id-\($0)" })

        #expect(watch.judge(at: demoted.addingTimeInterval(59)) == nil)
        #expect(watch.judge(at: demoted.addingTimeInterval(60)) == .restore)
        #expect(watch.judge(at: demoted.addingTimeInterval(61)) == nil)
    }

    @Test func `it returns by itself and is then judged by new messages only`() {
        var watch = watch(acknowledged: 30, received: 0)
        let demoted = start.addingTimeInterval(700)
        #expect(watch.judge(at: demoted) != nil)

        #expect(watch.judge(at: demoted.addingTimeInterval(1_801)) == nil)
        #expect(watch.judge(at: demoted.addingTimeInterval(3_000)) == nil)
        for index in 0..<20 { watch.acknowledged("new-\(index)", at: demoted.addingTimeInterval(3_000)) }
        #expect(watch.judge(at: demoted.addingTimeInterval(3_599)) == nil)
        #expect(watch.judge(at: demoted.addingTimeInterval(3_600)) != nil)
    }
}
