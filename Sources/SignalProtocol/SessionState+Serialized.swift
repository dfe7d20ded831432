import Primitives

/// The stored form of one session state, part of `SessionRecord`'s version 1. Numbers are big endian, keys 32 bytes.
///
///     base key, local identity, remote identity, local and remote registration id (4 + 4),
///     root key, sending: private and public ratchet key, chain key, index (4); previous counter (4),
///     flags (1): 1 = pending prekey, 2 = it names a one-time prekey; [one-time prekey id (4)] [signed prekey id (4)],
///     number of receiving chains (1), each: ratchet key, chain key, index (4), number of skipped seeds (2), those (36 each)
///
/// The base key comes first so that an archived state is recognised without being read.
extension SessionState {
    init(serialized bytes: [UInt8]) throws(SignalError) {
        var reader = RecordReader(bytes)
        baseKey = try reader.publicKey()
        localIdentity = try reader.publicKey()
        remoteIdentity = try reader.publicKey()
        localRegistrationID = try reader.number32()
        remoteRegistrationID = try reader.number32()
        rootKey = try reader.take(32)
        sending = SendingChain(
            ratchetPrivateKey: try reader.take(32), ratchetKey: try reader.publicKey(), key: try reader.take(32), index: try reader.number32())
        previousCounter = try reader.number32()
        let flags = try reader.byte()
        switch flags {
        case 0: pendingPreKey = nil
        case 1: pendingPreKey = PendingPreKey(preKeyID: nil, signedPreKeyID: try reader.number32())
        case 3: pendingPreKey = PendingPreKey(preKeyID: try reader.number32(), signedPreKeyID: try reader.number32())
        default: throw SignalError(.invalidRecord)
        }
        let count = Int(try reader.byte())
        guard count <= Self.maximumReceivingChains else { throw SignalError(.invalidRecord) }
        receiving = []
        receiving.reserveCapacity(count)
        for _ in 0..<count {
            let ratchetKey = try reader.publicKey()
            receiving.append(ReceivingChain(ratchetKey: ratchetKey, chain: try MessageChain(reading: &reader)))
        }
        try reader.finish()
    }

    var serializedLength: Int {
        receiving.reduce(256) { $0 + 70 + $1.chain.skipped.packed.count }
    }

    func serialize(into bytes: inout [UInt8]) {
        bytes += baseKey.bytes
        bytes += localIdentity.bytes
        bytes += remoteIdentity.bytes
        bytes.append(number32: localRegistrationID)
        bytes.append(number32: remoteRegistrationID)
        bytes += rootKey
        bytes += sending.ratchetPrivateKey
        bytes += sending.ratchetKey.bytes
        bytes += sending.key
        bytes.append(number32: sending.index)
        bytes.append(number32: previousCounter)
        switch pendingPreKey {
        case nil: bytes.append(0)
        case let pending?:
            bytes.append(pending.preKeyID == nil ? 1 : 3)
            if let id = pending.preKeyID { bytes.append(number32: id) }
            bytes.append(number32: pending.signedPreKeyID)
        }
        bytes.append(UInt8(truncatingIfNeeded: receiving.count))
        for chain in receiving {
            bytes += chain.ratchetKey.bytes
            chain.chain.serialize(into: &bytes)
        }
    }
}

extension MessageChain {
    /// Chain key, index, number of skipped seeds, those.
    init(reading reader: inout RecordReader) throws(SignalError) {
        let key = try reader.take(32)
        let index = try reader.number32()
        let count = try reader.number16()
        self.init(key: key, index: index, skipped: try SkippedSeeds(packed: try reader.take(count * SkippedSeeds.entryLength)))
    }

    func serialize(into bytes: inout [UInt8]) {
        bytes += key
        bytes.append(number32: index)
        bytes.append(number16: skipped.count)
        bytes += skipped.packed
    }
}
