import NIOCore
import NIOWebSocket
import WhatsAppWire

/// Why a request got no result.
enum RequestFailure: Error, Equatable, Sendable {
    case notConnected
    case disconnected
    case timedOut
    case canceled
    /// The server's error code (protocol.md appendix B).
    case refused(code: Int)

    /// The server's code, or 0.
    var serverCode: Int {
        if case .refused(let code) = self { code } else { 0 }
    }
}

/// Bytes in, stanzas out, and the way back.
extension WhatsAppClient {
    /// Takes one WebSocket frame. Returns what has to be done in tasks of its own; nil when the connection is over.
    func received(_ frame: WebSocketFrame) -> [Job]? {
        switch frame.opcode {
        case .binary: connection?.isInBinaryMessage = true
        case .text:
            connection?.isInBinaryMessage = false
            return []
        case .continuation: break
        case .ping:
            write(WebSocketFrame(fin: true, opcode: .pong, maskKey: .random(), data: frame.unmaskedData))
            return []
        case .connectionClose: return nil
        default: return []
        }
        guard connection?.isInBinaryMessage == true else { return [] }
        let actions: [Link.Action]
        let wasOpen = connection?.link.isOpen == true
        do throws(WireError) {
            actions = try connection?.link.received(frame.unmaskedData.readableBytesView, now: Int64(now().timeIntervalSince1970)) ?? []
        } catch {
            logger.warning("connection broken", metadata: ["error.code": "\(error.code.rawValue)"])
            end(wasOpen ? .corruptStream : .handshakeFailed(code: error.code.rawValue))
            return nil
        }
        var jobs: [Job] = []
        for action in actions {
            switch action {
            // The rest of the handshake: a login throws out whoever is logged in.
            case .send(let bytes): if configuration.mayWrite() { writeFrame(bytes) }
            case .opened: if connection?.pairing != nil { jobs.append(.announcePairing) }
            case .node(let node): if let job = dispatch(node) { jobs.append(job) }
            case .unreadableFrame: logger.warning("frame could not be read")
            }
        }
        return jobs
    }

    /// Sends a stanza; nothing happens without an open connection.
    func write(_ node: Node) {
        do throws(WireError) {
            writeEncoded(try NodeCodec.encode(node))
        } catch {
            logger.error("stanza could not be encoded", metadata: ["error.code": "\(error.code.rawValue)"])
        }
    }

    /// Sends an encoded stanza. Sealing and handing over happen without a suspension in between, so the counter's order is the wire's.
    /// False when there is no open connection; then nothing left.
    @discardableResult
    func writeEncoded(_ encoded: [UInt8]) -> Bool {
        guard connection?.end == nil, connection?.link.isOpen == true, configuration.mayWrite() else { return false }
        do throws(WireError) {
            guard let sealed = try connection?.link.seal(encoded) else { return false }
            writeFrame(sealed)
            return true
        } catch {
            logger.error("stanza could not be sealed", metadata: ["error.code": "\(error.code.rawValue)"])
            end(.corruptStream)
            return false
        }
    }

    func writeFrame(_ bytes: [UInt8]) {
        write(WebSocketFrame(fin: true, opcode: .binary, maskKey: .random(), data: ByteBuffer(bytes: bytes)))
    }

    /// What `body` writes leaves together: one hand-over to the socket instead of one for each.
    func writeTogether(_ body: () -> Void) {
        guard connection != nil, connection?.held == nil else { return body() }
        connection?.held = []
        body()
        let frames = connection?.held ?? []
        connection?.held = nil
        guard let channel = connection?.channel, let last = frames.last else { return }
        let written = channel.eventLoop.makePromise(of: Void.self)
        connection?.lastWrite = written.futureResult
        channel.eventLoop.execute {
            for frame in frames.dropLast() { channel.write(frame, promise: nil) }
            channel.writeAndFlush(last, promise: written)
        }
    }

    private func write(_ frame: WebSocketFrame) {
        if connection?.held != nil {
            connection?.held?.append(frame)
            return
        }
        let write = connection?.channel.writeAndFlush(frame)
        connection?.lastWrite = write
    }

    /// Waits until everything written so far is with the operating system; false if the connection broke before.
    func flushed() async -> Bool {
        guard let write = connection?.lastWrite else { return false }
        do {
            try await write.get()
            return true
        } catch {
            return false
        }
    }

    /// Asks the server something; the stanza gets its id here.
    func request(_ stanza: Node, timeout: Duration) async throws(RequestFailure) -> Node {
        guard let prefix = connection?.requestPrefix, connection?.end == nil, connection?.isOver == false, connection?.link.isOpen == true else {
            throw .notConnected
        }
        connection?.lastRequest += 1
        let id = "\(prefix)-\(connection?.lastRequest ?? 0)"
        let key = Self.requestKey + id
        guard waits.open(key) else { throw .notConnected }
        defer { waits.close(key) }
        var stanza = stanza
        stanza.attributes["id"] = .string(id)
        write(stanza)
        switch await answer(to: key, within: timeout) {
        case .answer(let node):
            guard node.string("type") == "error" else { return node }
            throw .refused(code: node.child("error")?.smallNumber("code") ?? 0)
        case .timedOut: throw .timedOut
        case .disconnected, .proven: throw .disconnected
        case .canceled: throw .canceled
        }
    }

    /// Acknowledges a stanza (protocol.md 7.5), dropped or not.
    func acknowledge(_ node: Node) {
        guard let ack = InboundStanza.ack(for: node) else { return }
        write(ack)
    }
}
