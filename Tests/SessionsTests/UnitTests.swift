import Domain
import Foundation
import Primitives
import SignalProtocol
import Synchronization
import TestSupport
import Testing
import WhatsApp
import WhatsAppWire

@testable import Sessions

@Suite struct SendOutcomeTests {
    @Test(arguments: [
        (SendFailure.Code.notReady, false, SendOutcome.refused(.senderUnavailable, serverCode: nil, retryAfter: .seconds(1))),
        (.disconnected, false, .refused(.senderUnavailable, serverCode: nil, retryAfter: .seconds(1))),
        (.disconnected, true, .unknown(retryAfter: .seconds(1))),
        (.ackTimeout, true, .unknown(retryAfter: .seconds(1))),
        (.canceled, true, .unknown(retryAfter: .seconds(1))),
        (.canceled, false, .leaveToSweep),
        (.preWireFailed, false, .leaveToSweep),
        (.storeFailed, false, .leaveToSweep),
        (.storeFailed, true, .unknown(retryAfter: .seconds(1))),
        (.notOnWhatsApp, false, .refused(.notOnWhatsApp, serverCode: nil, retryAfter: nil)),
        (.noLID, false, .refused(.undeliverable, serverCode: nil, retryAfter: nil)),
        (.noDevices, false, .refused(.noDevices, serverCode: nil, retryAfter: nil)),
        (.noSession, false, .refused(.undeliverable, serverCode: nil, retryAfter: .seconds(30))),
        (.encodeFailed, false, .refused(.encodeFailed, serverCode: nil, retryAfter: nil)),
        (.resolveFailed(code: 429), false, .tooFast(serverCode: 429)),
        (.resolveFailed(code: 0), false, .refused(.serverUnavailable, serverCode: nil, retryAfter: .seconds(15))),
        (.resolveFailed(code: 503), false, .refused(.serverUnavailable, serverCode: 503, retryAfter: .seconds(15))),
        (.refused(code: 400), true, .refused(.undeliverable, serverCode: 400, retryAfter: nil)),
        (.refused(code: 403), true, .notAllowed(serverCode: 403, retryAfter: .seconds(3_600))),
        (.refused(code: 405), true, .refused(.refused, serverCode: 405, retryAfter: nil)),
        (.refused(code: 429), true, .tooFast(serverCode: 429)),
        (.refused(code: 463), true, .newChatRefused(serverCode: 463)),
        (.refused(code: 479), true, .refused(.undeliverable, serverCode: 479, retryAfter: nil)),
        (.refused(code: 503), true, .refused(.serverUnavailable, serverCode: 503, retryAfter: .seconds(15))),
        (.refused(code: 0), true, .refused(.refused, serverCode: 0, retryAfter: nil)),
    ])
    func `a failure of the first copy means what the design says`(code: SendFailure.Code, onWire: Bool, outcome: SendOutcome) {
        #expect(SendOutcome(SendFailure(code, onWire: onWire), isResend: false) == outcome)
    }

    @Test(arguments: [
        SendFailure.Code.notReady, .disconnected, .ackTimeout, .notOnWhatsApp, .noSession, .resolveFailed(code: 429), .refused(code: 409),
        .refused(code: 463),
    ])
    func `nothing that happens to a second copy settles the first`(code: SendFailure.Code) {
        for onWire in [false, true] {
            guard case .unknown = SendOutcome(SendFailure(code, onWire: onWire), isResend: true) else {
                Issue.record("\(code) settled a message whose first copy may have arrived")
                continue
            }
        }
    }
}

@Suite struct SentMessageTests {
    private let message = SentMessage(
        id: "3EB0", recipient: .lid("123456789"), number: "628123456789", message: Array("Halo".utf8), stanzaType: "media", mediaType: "image")

    @Test func `the sealed form comes back as it was`() throws {
        let read = try SentMessage(sealedForm: message.sealedForm(), id: "3EB0")
        #expect(read == message)
        var plain = message
        plain.mediaType = nil
        plain.message = []
        let readPlain = try SentMessage(sealedForm: plain.sealedForm(), id: "3EB0")
        #expect(readPlain == plain)
    }

    @Test func `no shortened or lengthened form is taken for a message`() throws {
        let whole = message.sealedForm()
        for length in 0..<whole.count {
            #expect(throws: (any Error).self) { try SentMessage(sealedForm: Array(whole.prefix(length)), id: "3EB0") }
        }
        #expect(throws: (any Error).self) { try SentMessage(sealedForm: whole + [0], id: "3EB0") }
        #expect(throws: (any Error).self) { try SentMessage(sealedForm: [255, 255, 255, 255] + whole, id: "3EB0") }
    }
}

@Suite(.timeLimit(.minutes(10))) struct LoginGateTests {
    @Test func `a turn that is ended waits no longer, then and later`() async {
        let gate = LoginGate(perSecond: 1)
        let turn = EndableSleep()
        await gate.pass(turn)
        let start = ContinuousClock.now
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<100 { group.addTask { await gate.pass(turn) } }
            turn.end()
            await group.waitForAll()
        }
        await gate.pass(turn)
        #expect(ContinuousClock.now - start < .seconds(60))
    }

    @Test func `cancellation ends a sleep`() async {
        let sleep = EndableSleep()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await sleep.sleep(for: .seconds(3_600)) }
            group.cancelAll()
            await group.waitForAll()
        }
    }
}

@Suite struct WritePermissionTests {
    @Test func `after one refused write no other follows, and the connection is given up once`() {
        let trust = Mutex(true)
        let lapses = Mutex(0)
        let permission = WritePermission(isTrusted: { trust.withLock { $0 } }, lapsed: { lapses.withLock { $0 += 1 } })
        #expect(permission.mayWrite())
        trust.withLock { $0 = false }
        #expect(!permission.mayWrite())
        trust.withLock { $0 = true }
        #expect(!permission.mayWrite())
        #expect(lapses.withLock { $0 } == 1)
    }
}

@Suite(.timeLimit(.minutes(10))) struct SealedDeviceStoreTests {
    @Test func `records come back, and under an epoch that is over nothing is written`() async throws {
        try await withTestGateway { test in
            let (account, sender, owner) = try await test.makeReadySender()
            let sealer = try await test.gateway.accounts.sealer(for: account)
            func store(_ owner: OwnedSender, trusted: Bool = true) -> SealedDeviceStore {
                SealedDeviceStore(gateway: test.gateway, sealer: sealer, owner: owner, isTrusted: { trusted }, now: { test.now })
            }
            let random = SystemRandom()
            let address = SignalAddress(name: "123_1", device: 7)
            let key = PrivateKey(random: random).publicKey
            let preKeys = (1...3).map { PreKeyPair.make(id: UInt32($0), random: random) }
            let present = store(owner)

            try await present.commit(DeviceChanges(identities: [address: key], newPreKeys: preKeys))
            let stale = store(OwnedSender(account: account, sender: sender, epoch: owner.epoch - 1))
            for changes in [
                DeviceChanges(identities: [address: nil as PublicKey?]), DeviceChanges(erasesDevice: true), DeviceChanges(removedPreKeys: [1, 2, 3]),
                DeviceChanges(newPreKeys: [PreKeyPair.make(id: 4, random: random)]),
            ] {
                await #expect(throws: SealedDeviceStore.StaleEpoch.self) { try await stale.commit(changes) }
            }

            #expect(try await present.signalRecords(for: [address])[address]?.identity == key)
            #expect(try await present.addresses(ofUser: "123_1") == [address])
            #expect(try await present.preKeys([1, 2, 3, 4]).map(\.id) == [1, 2, 3])
            let state = try await present.preKeyState()
            #expect(state.nextID == 4 && state.unuploaded == 3 && !state.everUploaded)
            try await present.commit(DeviceChanges(uploadedPreKeys: [1, 2, 3], removedPreKeys: [3]))
            #expect(try await present.preKeys([1, 2, 3]).map(\.id) == [1, 2])
            let uploaded = try await present.preKeyState()
            #expect(uploaded.nextID == 4 && uploaded.unuploaded == 0 && uploaded.everUploaded)
            await #expect(throws: SealedDeviceStore.StaleEpoch.self) {
                try await store(owner, trusted: false).commit(DeviceChanges(newPreKeys: [PreKeyPair.make(id: 9, random: random)]))
            }
            try await present.commit(DeviceChanges(erasesDevice: true))
            #expect(try await present.preKeyState().nextID == 1)
            #expect(try await present.signalRecords(for: [address]).isEmpty)
        }
    }
}
