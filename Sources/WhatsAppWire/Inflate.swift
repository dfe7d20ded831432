import CZlib

/// Unpacks compressed frames.
enum Inflate {
    /// One whole zlib stream (RFC 1950), its checksum included, and nothing behind it.
    /// Stops as soon as the output would be longer than `limit` bytes and throws `limitExceeded`; damage is `malformed`.
    static func zlib(_ input: ArraySlice<UInt8>, limit: Int) throws(WireError) -> [UInt8] {
        // zlib remembers the address of the stream, so it stays in one place until the end.
        var stream = z_stream()
        return try withUnsafeMutablePointer(to: &stream) { (stream) throws(WireError) in
            guard inflateInit_(stream, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
                throw WireError(.limitExceeded, "no memory to inflate")
            }
            defer { inflateEnd(stream) }
            return try input.withUnsafeBufferPointer { (input) throws(WireError) in try run(stream, input, limit: limit) }
        }
    }

    private static func run(_ stream: UnsafeMutablePointer<z_stream>, _ input: UnsafeBufferPointer<UInt8>, limit: Int) throws(WireError) -> [UInt8] {
        guard let available = UInt32(exactly: input.count) else { throw WireError(.limitExceeded, "compressed frame too long") }
        // zlib only reads here; its declaration lacks the const.
        stream.pointee.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
        stream.pointee.avail_in = available
        var output: [UInt8] = []
        output.reserveCapacity(min(limit, 4 * input.count))
        var chunk = [UInt8](repeating: 0, count: chunkSize)
        while true {
            let (status, produced) = chunk.withUnsafeMutableBufferPointer { chunk in
                stream.pointee.next_out = chunk.baseAddress
                stream.pointee.avail_out = UInt32(chunk.count)
                let status = inflate(stream, Z_NO_FLUSH)
                return (status, chunk.count - Int(stream.pointee.avail_out))
            }
            guard status == Z_OK || status == Z_STREAM_END else { throw WireError(.malformed, "not a zlib stream") }
            guard produced <= limit - output.count else { throw WireError(.limitExceeded, "inflated frame too long") }
            output.append(contentsOf: chunk[..<produced])
            if status == Z_STREAM_END { break }
        }
        guard stream.pointee.avail_in == 0 else { throw WireError(.malformed, "bytes behind the zlib stream") }
        return output
    }

    private static let chunkSize = 16 << 10
}
