import Foundation
import Primitives
import SignalProtocol
import Testing
import WhatsApp
import WhatsAppWire

@testable import Sessions

@Suite struct RecentEntriesTests {
    @Test func `what is asked for stays, what is not goes, and the bound holds`() {
        var entries = RecentEntries<Int, Int>(capacity: 10)
        for number in 0..<1_000 {
            entries.insert(number, for: number)
            #expect(entries.value(for: 0) == 0)
            #expect(entries.count <= 20)
        }
        #expect(entries.value(for: 999) == 999)
        #expect(entries.value(for: 500) == nil)
        entries.insert(7, for: 999)
        #expect(entries.value(for: 999) == 7)
        entries.remove(999)
        #expect(entries.value(for: 999) == nil)
        entries.removeAll()
        #expect(entries.count == 0)
    }
}

@Suite struct DeviceMemoryTests {
    /// Ten minutes before a full hour.
    private let now = Date(timeIntervalSince1970: 1_780_002_000 - 600)
    private let hour = Date(timeIntervalSince1970: 1_780_002_000)
    private let contact = CachedContact(isRegistered: true, lid: .lid("123"), phone: nil)
    private let devices = CachedDevices(devices: [.lid("123"), .lid("123", device: 3)])
    private let address = SignalAddress(name: "123_1", device: 0)
    private let key = PrivateKey(random: SystemRandom()).publicKey
    private let other = PrivateKey(random: SystemRandom()).publicKey

    @Test func `the test's hour is a full hour`() { #expect(hour.timeIntervalSince1970.truncatingRemainder(dividingBy: 3_600) == 0) }

    @Test func `a contact is remembered until the next full hour and no longer than an hour`() {
        let memory = DeviceMemory()
        memory.keep(contact, number: "62812", from: now, now: now)
        memory.keep(devices, user: "123@lid", from: now, now: now)
        #expect(memory.contact("62812", now: hour.addingTimeInterval(-1)) == contact)
        #expect(memory.devices("123@lid", now: hour.addingTimeInterval(-1)) == devices)
        #expect(memory.contact("62812", now: hour) == nil)
        #expect(memory.devices("123@lid", now: hour) == nil)

        memory.keep(contact, number: "62812", from: now.addingTimeInterval(-3_000), now: now)
        #expect(memory.contact("62812", now: now.addingTimeInterval(599)) == contact)
        #expect(memory.contact("62812", now: now.addingTimeInterval(600)) == nil)
        memory.keep(contact, number: "62813", from: now.addingTimeInterval(-3_601), now: now)
        #expect(memory.contact("62813", now: now) == nil)
    }

    @Test func `at the full hour no contact is left in memory, Signal records stay`() {
        let memory = DeviceMemory()
        memory.keep(contact, number: "62812", from: now, now: now)
        memory.keep([address: SignalRecord(identity: key)], of: [address], version: memory.records([address]).version)
        memory.tidy(now: now)
        #expect(memory.count == 2)
        memory.tidy(now: hour)
        #expect(memory.count == 1 && memory.contact("62812", now: now) == nil)
        #expect(memory.records([address]).known[address]?.identity == key)
    }

    @Test func `a device list that was dropped is not remembered`() {
        let memory = DeviceMemory()
        memory.keep(devices, user: "123@lid", from: now, now: now)
        memory.forgetDevices("123@lid")
        #expect(memory.devices("123@lid", now: now) == nil)
    }

    @Test func `a commit is written through, and deletions too`() {
        let memory = DeviceMemory()
        memory.keep([:], of: [address], version: memory.records([address]).version)
        #expect(memory.records([address]).known[address]?.identity == nil)
        memory.committed(DeviceChanges(identities: [address: key]), revision: 1)
        #expect(memory.records([address]).known[address]?.identity == key)
        memory.committed(DeviceChanges(identities: [address: nil as PublicKey?]), revision: 2)
        let known = memory.records([address]).known[address]
        #expect(known != nil && known?.identity == nil)
        memory.committed(DeviceChanges(erasesDevice: true), revision: 3)
        #expect(memory.records([address]).known.isEmpty)
    }

    @Test func `what is known only in part is not made up`() {
        let memory = DeviceMemory()
        memory.committed(DeviceChanges(identities: [address: key]), revision: 4)
        #expect(memory.records([address]).known.isEmpty)
    }

    @Test func `what was read before a write is not taken after it`() {
        let memory = DeviceMemory()
        let version = memory.records([address]).version
        memory.committed(DeviceChanges(identities: [address: key]), revision: 5)
        memory.keep([address: SignalRecord(identity: other)], of: [address], version: version)
        #expect(memory.records([address]).known.isEmpty)
    }

    @Test func `what may not have been written is read again`() {
        let memory = DeviceMemory()
        memory.keep([address: SignalRecord(identity: key)], of: [address], version: memory.records([address]).version)
        memory.doubted(DeviceChanges(identities: [address: other]))
        #expect(memory.records([address]).known.isEmpty)
        memory.keep([address: SignalRecord(identity: key)], of: [address], version: memory.records([address]).version)
        memory.clear()
        #expect(memory.count == 0)
    }

    @Test func `of commits that are answered in another order the latest stands`() {
        let memory = DeviceMemory()
        memory.keep([:], of: [address], version: memory.records([address]).version)
        let (earlier, later) = (memory.nextRevision(), memory.nextRevision())
        memory.committed(DeviceChanges(identities: [address: key]), revision: later)
        memory.committed(DeviceChanges(identities: [address: other]), revision: earlier)
        #expect(memory.records([address]).known[address]?.identity == key)
    }

    @Test func `a read does not replace what was committed since`() {
        let memory = DeviceMemory()
        let version = memory.records([address]).version
        memory.keep([:], of: [address], version: version)
        memory.committed(DeviceChanges(identities: [address: key]), revision: memory.nextRevision())
        memory.keep([address: SignalRecord(identity: other)], of: [address], version: version)
        #expect(memory.records([address]).known[address]?.identity == key)
    }

    @Test func `revisions go on from what an earlier owner wrote, and never back`() {
        let memory = DeviceMemory()
        #expect(memory.nextRevision() == 1)
        memory.saw(revision: 41)
        memory.saw(revision: 7)
        memory.clear()
        #expect(memory.nextRevision() == 42)
    }

    @Test func `a commit that is answered after a later one was read changes nothing`() {
        let memory = DeviceMemory()
        let (earlier, later) = (memory.nextRevision(), memory.nextRevision())
        memory.committed(DeviceChanges(identities: [address: key]), revision: later)
        memory.keep([address: SignalRecord(identity: key)], of: [address], revisions: [address: later], version: memory.records([address]).version)
        memory.committed(DeviceChanges(identities: [address: other]), revision: earlier)
        #expect(memory.records([address]).known[address]?.identity == key)
    }
}
