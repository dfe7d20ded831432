import Primitives
import SignalProtocol
import WhatsAppWire

/// A WhatsApp user: a number with its phone (device 0, always simulated), simulated companions, and real clients that were linked.
struct SimulatedAccount: Sendable {
    let number: String
    /// Digits. It exists also when the server pretends that there is none.
    let lid: String
    /// The phone's identity key, which also signs for companions.
    let accountKey: PrivateKey
    let rawID: UInt32
    var behaviour: RecipientBehaviour
    var simulated: [UInt16: SimulatedDevice] = [:]
    var linked: [UInt16: LinkedDevice] = [:]
    /// All device numbers, ascending.
    private(set) var devices: [UInt16] = []
    private(set) var nextDevice: UInt16 = 0
    /// The signed list of key indexes, until the devices change.
    var keyIndexList: [UInt8]?

    init(number: String, lid: String, accountKey: PrivateKey, rawID: UInt32, behaviour: RecipientBehaviour) {
        self.number = number
        self.lid = lid
        self.accountKey = accountKey
        self.rawID = rawID
        self.behaviour = behaviour
    }

    /// Device numbers are never given twice.
    mutating func reserveDevice() -> UInt16 {
        defer { nextDevice += 1 }
        return nextDevice
    }

    mutating func insert(_ device: SimulatedDevice, as number: UInt16) {
        simulated[number] = device
        devicesChanged()
    }

    mutating func insert(_ device: LinkedDevice, as number: UInt16) {
        linked[number] = device
        devicesChanged()
    }

    mutating func removeLinked(_ number: UInt16) -> LinkedDevice? {
        defer { devicesChanged() }
        return linked.removeValue(forKey: number)
    }

    private mutating func devicesChanged() {
        devices = (Array(simulated.keys) + Array(linked.keys)).sorted()
        keyIndexList = nil
    }

    func keyIndex(_ device: UInt16) -> UInt32 { simulated[device]?.keyIndex ?? linked[device]?.keyIndex ?? 0 }

    func phoneJID(_ device: UInt16 = 0) -> JID { .phone(number, device: device) }
    func lidJID(_ device: UInt16 = 0) -> JID { .lid(lid, device: device) }

    /// The device under its LID, or under its number where the chat is so addressed.
    func jid(_ device: UInt16, like other: JID) -> JID { other.server == .lid ? lidJID(device) : phoneJID(device) }

    /// Under which peers keep their sessions with this device.
    func signalAddress(_ device: UInt16) -> SignalAddress { SignalAddress(name: lidJID().signalName, device: UInt32(device)) }
}
