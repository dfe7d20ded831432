import Primitives

/// What a finished handshake leaves: seals and opens the frames of one connection (protocol.md 2.6).
///
/// Each direction counts its frames, so they are sealed in the order in which they are sent and opened in the order of arrival.
/// Never use two copies of one channel: both would seal with the same counter.
package struct WireChannel: Sendable {
    private var write: Direction
    private var read: Direction

    /// - Parameters: The two keys, 32 bytes each, as this side uses them.
    package init(writeKey: [UInt8], readKey: [UInt8]) {
        self.init(writeKey: writeKey, readKey: readKey, writeCounter: 0, readCounter: 0)
    }

    init(writeKey: [UInt8], readKey: [UInt8], writeCounter: UInt32, readCounter: UInt32) {
        write = Direction(key: writeKey, counter: writeCounter)
        read = Direction(key: readKey, counter: readCounter)
    }

    /// The content of the next frame to send.
    /// - Throws: `limitExceeded` when 2³² frames were sealed. Only a new connection helps.
    package mutating func seal(_ plaintext: [UInt8]) throws(WireError) -> [UInt8] {
        let nonce = try write.next()
        do {
            return try AESGCM.seal(plaintext, key: write.key, nonce: nonce, aad: [])
        } catch {
            throw WireError(.authenticationFailed, "frame could not be sealed")
        }
    }

    /// The plaintext of the next received frame.
    /// - Throws: `authenticationFailed`; the stream is out of step or tampered with, so close the connection. `limitExceeded` after 2³² frames.
    package mutating func open(_ ciphertext: [UInt8]) throws(WireError) -> [UInt8] {
        let nonce = try read.next()
        do {
            return try AESGCM.open(ciphertext, key: read.key, nonce: nonce, aad: [])
        } catch {
            throw WireError(.authenticationFailed, "frame")
        }
    }

    private struct Direction {
        let key: [UInt8]
        /// Of the next frame; nil when all were used.
        var counter: UInt32?

        mutating func next() throws(WireError) -> [UInt8] {
            guard let current = counter else { throw WireError(.limitExceeded, "frame counter") }
            counter = current == .max ? nil : current + 1
            return NoiseState.nonce(current)
        }
    }
}

extension WireChannel: CustomStringConvertible, CustomReflectable {
    package var description: String { "WireChannel(redacted)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
