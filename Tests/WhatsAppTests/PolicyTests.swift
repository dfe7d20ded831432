import Foundation
import SignalProtocol
import Testing
import WhatsAppWire

@testable import WhatsApp

@Suite struct ReconnectPolicyTests {
    private let now = Date(timeIntervalSince1970: 1_800_000_000)

    private func first(_ end: LinkEnd, jitter: UInt64 = 0) -> ReconnectPolicy.Decision {
        var policy = ReconnectPolicy()
        return policy.next(after: end, jitter: jitter, now: now)
    }

    @Test(arguments: [
        (LinkEnd.streamError(code: 401, conflict: "device_removed"), ConnectionState.loggedOut(code: "device_removed")),
        (.streamError(code: 440, conflict: "replaced"), .replaced), (.streamError(code: nil, conflict: "replaced"), .replaced),
        (.failure(reason: 401, code: nil, expire: nil), .loggedOut(code: "failure_401")),
        (.failure(reason: 403, code: nil, expire: nil), .loggedOut(code: "failure_403")),
        (.failure(reason: 406, code: nil, expire: nil), .loggedOut(code: "failure_406")),
        (.failure(reason: 409, code: nil, expire: nil), .parked(code: "failure_409")),
        (.failure(reason: 418, code: nil, expire: nil), .parked(code: "failure_418")), (.passkeyRequired, .parked(code: "passkey_required")),
        (.stopped, .stopped),
    ])
    func `some ends are final`(end: LinkEnd, state: ConnectionState) {
        #expect(first(end) == .finish(state))
    }

    @Test(arguments: [
        LinkEnd.closed, .streamError(code: 503, conflict: nil), .streamError(code: 500, conflict: nil), .streamError(code: 401, conflict: nil),
        .streamError(code: nil, conflict: nil), .failure(reason: 500, code: nil, expire: nil), .failure(reason: 503, code: nil, expire: nil),
        .keepaliveLost, .dialFailed(code: "network"),
    ])
    func `others are tried again for ever with full jitter to 300 s`(end: LinkEnd) {
        var policy = ReconnectPolicy()
        var longest = Duration.zero
        for round in 0..<50 {
            guard case .reconnect(let pause, .disconnected(end.code)) = policy.next(after: end, jitter: .max / 3, now: now) else {
                Issue.record("stopped in round \(round)")
                return
            }
            #expect(pause <= min(.seconds(300), .seconds(1 << min(round, 10))))
            longest = max(longest, pause)
        }
        #expect(longest > .zero)
        policy.becameStable()
        #expect(policy.attempts == 0)
    }

    @Test func `515 restarts at once`() {
        #expect(
            first(.streamError(code: 515, conflict: nil), jitter: 900) == .reconnect(after: .zero, state: .disconnected(code: "stream_error_515")))
    }

    @Test func `a ban is waited for to its end`() {
        let decision = first(.failure(reason: 402, code: 101, expire: 3_600), jitter: 7)
        #expect(decision == .reconnect(after: .seconds(3_607), state: .temporarilyBanned(code: 101, until: now.addingTimeInterval(3_600))))
    }

    @Test func `an outdated client waits a quarter of an hour`() {
        #expect(first(.failure(reason: 405, code: nil, expire: nil)) == .reconnect(after: .seconds(900), state: .clientOutdated))
    }

    @Test func `an unknown reason gets three tries`() {
        var policy = ReconnectPolicy()
        for _ in 0..<3 {
            guard case .reconnect = policy.next(after: .failure(reason: 777, code: nil, expire: nil), jitter: 1, now: now) else {
                Issue.record("gave up too early")
                return
            }
        }
        let last = policy.next(after: .failure(reason: 777, code: nil, expire: nil), jitter: 1, now: now)
        #expect(last == .finish(.parked(code: "failure_777")))
    }

    @Test func `a doubtful stream error gets one second chance`() {
        var policy = ReconnectPolicy()
        let end = LinkEnd.streamError(code: 516, conflict: nil)
        let decisions = (0..<2).map { _ in policy.next(after: end, jitter: 1, now: now) }
        #expect(
            decisions == [
                .reconnect(after: .seconds(60), state: .disconnected(code: "stream_error_516")), .finish(.parked(code: "stream_error_516")),
            ])
    }

    @Test func `ends are read from stanzas, and foreign text is not kept`() {
        #expect(LinkEnd(Node("stream:error", ["code": "515"])) == .streamError(code: 515, conflict: nil))
        #expect(
            LinkEnd(Node("stream:error", ["code": "401"], children: [Node("conflict", ["type": "device_removed"])]))
                == .streamError(code: 401, conflict: "device_removed"))
        #expect(LinkEnd(Node("stream:error", children: [Node("conflict", ["type": "15550100001"])])) == .streamError(code: nil, conflict: nil))
        #expect(LinkEnd(Node("failure", ["reason": "99999999999"])) == .failure(reason: nil, code: nil, expire: nil))
        #expect(LinkEnd(Node("iq")) == nil)
    }
}

@Suite struct RetryPolicyTests {
    private let start = Date(timeIntervalSince1970: 1_800_000_000)
    private let device = SignalAddress(name: "1_1", device: 2)

    @Test func `five answers per device and message`() {
        var policy = RetryPolicy()
        let admitted = (0..<10).map { _ in policy.admits(device: device, message: "A", count: 1, now: start) }
        #expect(admitted == [true, true, true, true, true, false, false, false, false, false])
        let otherMessage = policy.admits(device: device, message: "B", count: 1, now: start)
        let otherDevice = policy.admits(device: SignalAddress(name: "1_1", device: 3), message: "A", count: 1, now: start)
        #expect(otherMessage && otherDevice)
    }

    @Test(arguments: [0, 6, -1, 99]) func `a counter out of range is not answered, whatever was forgotten here`(count: Int) {
        var policy = RetryPolicy()
        let isAdmitted = policy.admits(device: device, message: "A", count: count, now: start)
        #expect(!isAdmitted)
    }

    @Test func `a bundle is fetched once an hour`() {
        var policy = RetryPolicy()
        let verdicts = [0, 3_599, 3_700].map { policy.mayFetchBundle(for: device, now: start.addingTimeInterval($0)) }
        #expect(verdicts == [true, false, true])
    }

    @Test func `a storm of ids stays bounded`() {
        var policy = RetryPolicy()
        let admitted = (0..<10_000).filter { policy.admits(device: device, message: "\($0)", count: 1, now: start) }.count
        #expect(admitted == 4_096)
        let later = policy.admits(device: device, message: "later", count: 1, now: start.addingTimeInterval(3_700))
        #expect(later)
    }
}
