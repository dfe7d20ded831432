import Foundation
import Glibc
import Synchronization

/// A raw TCP server on loopback whose every connection is handled by a closure on a thread of its own, so it can misbehave in any way.
final class ToyServer: Sendable {
    struct Failed: Error {}

    struct Request: Sendable {
        var head: String
        var body: [UInt8]

        var line: String { String(head.prefix { $0 != "\r\n" }) }

        func header(_ name: String) -> String? {
            for line in head.split(separator: "\r\n").dropFirst() where line.lowercased().hasPrefix(name.lowercased() + ":") {
                return line.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces)
            }
            return nil
        }
    }

    private struct State {
        var open: Set<Int32> = []
        var accepted = 0
        var isStopped = false
    }

    let address: String
    let port: Int
    private let listener: Int32
    private let state = Mutex(State())

    var accepted: Int { state.withLock { $0.accepted } }

    init(_ address: String = "127.0.0.1", port: Int = 0, handle: @escaping @Sendable (Peer) -> Void) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var on: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        target.sin_port = UInt16(port).bigEndian
        inet_pton(AF_INET, address, &target.sin_addr)
        let bound = withUnsafeMutablePointer(to: &target) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
                var length = socklen_t(MemoryLayout<sockaddr_in>.size)
                return bind(listener, raw, length) == 0 && listen(listener, 512) == 0 && getsockname(listener, raw, &length) == 0
            }
        }
        guard bound else { throw Failed() }
        self.address = address
        self.port = Int(UInt16(bigEndian: target.sin_port))
        self.listener = listener
        Thread { [self] in accept(handle) }.start()
    }

    func stop() {
        state.withLock { state in
            state.isStopped = true
            for descriptor in state.open { shutdown(descriptor, Int32(SHUT_RDWR)) }
            shutdown(listener, Int32(SHUT_RDWR))
        }
    }

    private func accept(_ handle: @escaping @Sendable (Peer) -> Void) {
        while true {
            let descriptor = Glibc.accept(listener, nil, nil)
            guard descriptor >= 0 else { break }
            let isStopped = state.withLock { state in
                state.open.insert(descriptor)
                state.accepted += 1
                return state.isStopped
            }
            if isStopped { break }
            var on: Int32 = 1
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
            let thread = Thread { [self] in
                handle(Peer(descriptor: descriptor))
                state.withLock { state in
                    state.open.remove(descriptor)
                    close(descriptor)
                }
            }
            thread.stackSize = 256 << 10
            thread.start()
        }
        close(listener)
    }
}

/// The server's end of one connection.
final class Peer: Sendable {
    private let descriptor: Int32
    private let rest = Mutex<[UInt8]>([])

    init(descriptor: Int32) { self.descriptor = descriptor }

    /// The next request with its Content-Length of body; nil when the client has closed.
    func request() -> ToyServer.Request? {
        var bytes = rest.withLock { $0 }
        let end = Array("\r\n\r\n".utf8)
        var from = 0
        while true {
            if let range = bytes[from...].firstRange(of: end) {
                var request = ToyServer.Request(head: String(decoding: bytes[..<range.lowerBound], as: UTF8.self), body: [])
                let length = request.header("content-length").flatMap { Int($0) } ?? 0
                while bytes.count < range.upperBound + length { guard read(into: &bytes) else { return nil } }
                request.body = Array(bytes[range.upperBound..<(range.upperBound + length)])
                let remaining = Array(bytes[(range.upperBound + length)...])
                rest.withLock { $0 = remaining }
                return request
            }
            from = max(0, bytes.count - 3)
            guard read(into: &bytes) else { return nil }
        }
    }

    /// False when the client is gone.
    @discardableResult
    func write(_ text: String) -> Bool { write(Array(text.utf8)) }

    @discardableResult
    func write(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { send(descriptor, $0.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    func ok(_ body: String = "ok", _ headers: String = "") {
        write("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\(headers)\r\n\(body)")
    }

    /// Answers everything with 200 until the client closes.
    func answerAll(_ body: String = "ok") { while request() != nil { ok(body) } }

    /// Blocks until the client closes; true if it did within that time.
    @discardableResult
    func waitForClose(milliseconds: Int32 = -1) -> Bool {
        var bytes: [UInt8] = []
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while Glibc.poll(&poll, 1, milliseconds) > 0 { guard read(into: &bytes) else { return true } }
        return false
    }

    /// The next close sends a reset.
    func resetOnClose() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }

    private func read(into bytes: inout [UInt8]) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { return false }
        bytes.append(contentsOf: buffer[..<count])
        return true
    }
}

func withServer<Result>(
    at address: String = "127.0.0.1", _ handle: @escaping @Sendable (Peer) -> Void, _ body: (ToyServer) async throws -> Result
) async throws -> Result {
    let server = try ToyServer(address, handle: handle)
    defer { server.stop() }
    return try await body(server)
}
