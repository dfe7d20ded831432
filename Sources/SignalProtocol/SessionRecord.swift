package import Primitives

/// All sessions with one device: the current one, and those it replaced, which still decrypt what was sent before.
///
/// A plain value that rests sealed in the database: load, hand it to `SessionCipher`, store what it has become before anything of it leaves
/// (protocol.md 9.9). Archived sessions stay in their stored form until a message needs them, so that sending does not pay for them.
package struct SessionRecord: Sendable {
    /// Archived states kept, newest first; older ones are dropped (protocol.md 9.6).
    package static let maximumArchived = 40
    /// Above what a full record can take; longer input is not ours.
    package static let maximumLength = 16 << 20
    private static let version: UInt8 = 1

    var current: SessionState?
    /// Newest first, serialised.
    private(set) var archived: [[UInt8]] = []

    /// A record without sessions.
    package init() {}

    /// Reads what `serialized` wrote: `1 | number of current states (1) | [length (4) state] | number of archived (1) | length (4) state …`.
    ///
    /// - Throws: `invalidRecord` for anything else. Archived states are read when they are needed; one that cannot be read then is passed over.
    package init(serialized bytes: [UInt8]) throws(SignalError) {
        guard bytes.count <= Self.maximumLength else { throw SignalError(.invalidRecord) }
        var reader = RecordReader(bytes)
        guard try reader.byte() == Self.version else { throw SignalError(.invalidRecord) }
        switch try reader.byte() {
        case 0: current = nil
        case 1: current = try SessionState(serialized: try reader.counted())
        default: throw SignalError(.invalidRecord)
        }
        let count = Int(try reader.byte())
        guard count <= Self.maximumArchived else { throw SignalError(.invalidRecord) }
        archived.reserveCapacity(count)
        for _ in 0..<count { archived.append(try reader.counted()) }
        try reader.finish()
    }

    /// For the database; some 400 bytes for a young session. Holds private keys: seal it.
    package func serialized() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(archived.reduce(7 + (current?.serializedLength ?? 0)) { $0 + 4 + $1.count })
        bytes.append(Self.version)
        if let current {
            bytes.append(1)
            bytes.append(number32: 0)
            let start = bytes.count
            current.serialize(into: &bytes)
            let length = UInt32(truncatingIfNeeded: bytes.count - start)
            for (offset, shift) in [UInt32(24), 16, 8, 0].enumerated() { bytes[start - 4 + offset] = UInt8(truncatingIfNeeded: length >> shift) }
        } else {
            bytes.append(0)
        }
        bytes.append(UInt8(truncatingIfNeeded: archived.count))
        for state in archived { bytes.append(counted: state) }
        return bytes
    }
}

extension SessionRecord {
    /// Whether there is no session to encrypt with: a bundle is needed. Archived sessions may still be there, and decrypt what is late.
    package var isEmpty: Bool { current == nil }

    /// The peer's identity in the current session, else in the newest archived one.
    package var remoteIdentity: PublicKey? {
        if let current { return current.remoteIdentity }
        return archived.first.flatMap { try? SessionState(serialized: $0).remoteIdentity }
    }

    /// The registration id that the peer had when the current session began.
    package var remoteRegistrationID: UInt32? { current?.remoteRegistrationID }

    /// 32 bytes that name the current session; a peer that keeps asking for retries under the same one has lost it (protocol.md 12.4).
    package var currentBaseKey: [UInt8]? { current?.baseKey.bytes }

    /// Whether the current session still waits for the peer's first answer, so that its messages are prekey messages.
    package var hasPendingPreKey: Bool { current?.pendingPreKey != nil }

    package var archivedCount: Int { archived.count }

    /// Takes the current session out of use, keeping it for late messages. Without one nothing happens.
    package mutating func archiveCurrent() {
        guard let state = current else { return }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(state.serializedLength)
        state.serialize(into: &bytes)
        archived.insert(bytes, at: 0)
        if archived.count > Self.maximumArchived { archived.removeLast() }
        current = nil
    }

    /// Makes `state` current and archives what was. Sessions with another identity are forgotten: the peer is a new installation (protocol.md 9.8).
    mutating func begin(_ state: SessionState) {
        if let known = remoteIdentity, known != state.remoteIdentity {
            archived = []
            current = nil
        }
        archiveCurrent()
        current = state
    }

    /// Makes an archived session, as it has become by decrypting with it, the current one.
    mutating func promote(_ state: SessionState, from index: Int) {
        archived.remove(at: index)
        archiveCurrent()
        current = state
    }

    /// Where an archived session with this base key is.
    func archivedIndex(baseKey: PublicKey) -> Int? {
        let key = baseKey.bytes
        return archived.firstIndex { $0.starts(with: key) }
    }
}

extension SessionRecord: CustomStringConvertible, CustomReflectable {
    package var description: String { "SessionRecord(redacted)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
