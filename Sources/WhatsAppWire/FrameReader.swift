/// Cuts a stream of bytes into frames, however the transport split them.
///
///     reader.append(chunk)
///     while let payload = try reader.next() { … }
package struct FrameReader: Sendable {
    private let maximumLength: Int
    private var awaitsIntro: Bool
    private var buffer: [UInt8] = []
    /// Everything before it has been handed out.
    private var start = 0

    /// - Parameters:
    ///   - maximumLength: the longest payload to accept, in bytes.
    ///   - expectsIntro: for the server's side, whose first bytes are `Frame.intro`.
    package init(maximumLength: Int = Frame.maximumPayload, expectsIntro: Bool = false) {
        self.maximumLength = maximumLength
        awaitsIntro = expectsIntro
    }

    /// How many bytes wait for the rest of their frame.
    package var bufferedCount: Int { buffer.count - start }

    package mutating func append(_ bytes: some Collection<UInt8>) {
        if start == buffer.count {
            buffer.removeAll(keepingCapacity: buffer.capacity <= Self.keptCapacity)
            start = 0
        } else if start > Self.keptCapacity, start > buffer.count / 2 {
            buffer.removeFirst(start)
            start = 0
        }
        buffer.append(contentsOf: bytes)
    }

    /// The payload of the next complete frame, possibly empty; nil until more bytes come.
    /// Throws `limitExceeded` as soon as a longer frame is announced, and `malformed` for a wrong intro.
    /// The stream cannot be read any further then, and every later call throws the same.
    package mutating func next() throws(WireError) -> [UInt8]? {
        if awaitsIntro {
            let given = buffer[start...].prefix(Frame.intro.count)
            guard Frame.intro.starts(with: given) else { throw WireError(.malformed, "wrong intro") }
            guard given.count == Frame.intro.count else { return nil }
            start += Frame.intro.count
            awaitsIntro = false
        }
        guard bufferedCount >= 3 else { return nil }
        let length = Int(buffer[start]) << 16 | Int(buffer[start + 1]) << 8 | Int(buffer[start + 2])
        guard length <= maximumLength else { throw WireError(.limitExceeded, "frame too long") }
        guard bufferedCount - 3 >= length else { return nil }
        let first = start + 3
        start = first + length
        return Array(buffer[first..<start])
    }

    /// A buffer that grew beyond this is given back once it is empty.
    private static let keptCapacity = 64 << 10
}
