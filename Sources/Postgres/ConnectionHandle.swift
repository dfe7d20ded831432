import CLibpq
import Glibc

/// One libpq connection, always non-blocking and, when open, in pipeline mode; closed when the value goes away.
/// Invariant: libpq allows one caller at a time. The handle can be neither copied nor sent, so only its owning actor reaches it.
struct ConnectionHandle: ~Copyable {
    private var raw: OpaquePointer?

    init() {}

    deinit { PQfinish(raw) }

    enum Opening { case open, reading, writing, failed }

    /// Begins to connect; `step()` goes on. Later parameters win over earlier ones, `dbname` may be a whole connection string.
    mutating func begin(_ parameters: [(String, String)]) {
        close()
        raw = withCStrings(parameters.map(\.0)) { keys in
            withCStrings(parameters.map(\.1)) { values in PQconnectStartParams(keys, values, 1) }
        }
        PQsetNoticeProcessor(raw, { _, _ in }, nil)  // the default prints the server's words, values included, to stderr
    }

    mutating func step() -> Opening {
        switch PQconnectPoll(raw) {
        case PGRES_POLLING_READING: return .reading
        case PGRES_POLLING_WRITING: return .writing
        case PGRES_POLLING_OK:
            guard PQsetnonblocking(raw, 1) == 0, PQenterPipelineMode(raw) == 1 else { return .failed }
            return .open
        default: return .failed
        }
    }

    mutating func close() {
        PQfinish(raw)
        raw = nil
    }

    var isOpen: Bool { raw != nil && PQstatus(raw) == CONNECTION_OK }
    var isBroken: Bool { PQstatus(raw) == CONNECTION_BAD }
    var socket: Int32 { PQsocket(raw) }
    var isInTransaction: Bool { PQtransactionStatus(raw) == PQTRANS_INTRANS }
    var serverVersion: Int32 { PQserverVersion(raw) }

    static let invalid = "invalid connection string"

    /// Why the last call failed, in one of a few constant phrases: libpq's own words may hold names and values.
    var failure: String {
        let text = PQerrorMessage(raw).map { String(cString: $0) } ?? ""
        let known: [(String, String)] = [
            ("authentication failed", "authentication failed"), ("pg_hba.conf", "the server admits no such login"), ("role \"", "no such role"),
            ("database \"", "no such database"), ("certificate", "TLS certificate refused"), ("SSL", "TLS failed"), ("refused", "connection refused"),
            ("No such file", "no such socket"), ("starting up", "server is starting up"), ("shutting down", "server is shutting down"),
            ("too many", "too many connections"), ("reserved for", "too many connections"), ("recovery", "server is recovering"),
            ("could not translate", "unknown host"), ("invalid socket", "connection lost"), ("invalid", Self.invalid),
            ("missing \"=\"", Self.invalid), ("in URI", Self.invalid),
        ]
        return known.first { text.contains($0.0) }?.1 ?? "connection lost"
    }

    // MARK: Sending; false means that the connection is unusable

    func sendPrepare(_ name: String, _ text: String, types: [UInt32]) -> Bool {
        PQsendPrepare(raw, name, text, Int32(types.count), types) == 1
    }

    /// Executes a prepared statement, or with nil an unnamed one with its text. Results come in binary form.
    func sendQuery(_ name: String?, _ sql: SQL, text: String) -> Bool {
        let flat = sql.bytes.isEmpty ? [0] : sql.bytes
        return flat.withUnsafeBytes { buffer in
            let base = buffer.bindMemory(to: CChar.self).baseAddress
            let values = sql.bindings.map { binding in binding.range.flatMap { range in base.map { $0 + range.lowerBound } } }
            let lengths = sql.bindings.map { Int32(clamping: $0.range?.count ?? 0) }
            let formats = [Int32](repeating: 1, count: values.count)
            let count = Int32(clamping: values.count)
            if let name { return PQsendQueryPrepared(raw, name, count, values, lengths, formats, 1) == 1 }
            return PQsendQueryParams(raw, text, count, sql.types, values, lengths, formats, 1) == 1
        }
    }

    func sendSync() -> Bool { PQpipelineSync(raw) == 1 }

    /// Sends a script of several statements by the simple protocol; only outside of pipeline mode.
    func sendScript(_ text: String) -> Bool { PQsendQuery(raw, text) == 1 }

    func leavePipeline() -> Bool { PQexitPipelineMode(raw) == 1 }
    func enterPipeline() -> Bool { PQenterPipelineMode(raw) == 1 }

    /// 0: all sent, 1: the socket is full, -1: failed.
    func flush() -> Int32 { PQflush(raw) }
    func consumeInput() -> Bool { PQconsumeInput(raw) == 1 }
    var isBusy: Bool { PQisBusy(raw) == 1 }
    func nextResult() -> OpaquePointer? { PQgetResult(raw) }

    /// Asks the server, over a connection of its own, to stop what it is doing here.
    func requestCancel() -> CancelRequest? { PQgetCancel(raw).map { CancelRequest($0) } }

    /// The next notification that has already been read.
    func nextNotification() -> (channel: String, payload: String)? {
        guard let notify = PQnotifies(raw) else { return nil }
        defer { PQfreemem(notify) }
        return (String(cString: notify.pointee.relname), String(cString: notify.pointee.extra))
    }

    /// Waits until the socket can be read (or written), the interrupt is signalled, or the time is over.
    func wait(writing: Bool = false, reading: Bool = true, interrupt: Interrupt?, until end: ContinuousClock.Instant) -> Wait {
        let events = (reading ? POLLIN : 0) | (writing ? POLLOUT : 0)
        var set = [
            pollfd(fd: socket, events: Int16(events), revents: 0), pollfd(fd: interrupt?.reader ?? -1, events: Int16(POLLIN), revents: 0),
        ]
        let count = poll(&set, 2, Int32(clamping: (end - .now).milliseconds))
        if count < 0 { return errno == EINTR ? .ready : .lost }
        if count == 0 { return .timeOut }
        return set[1].revents != 0 ? .interrupted : .ready
    }

    enum Wait { case ready, interrupted, timeOut, lost }
}

/// Calls `body` with a NULL-terminated array of C strings.
private func withCStrings<Result>(_ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Result) -> Result {
    let copies = strings.map { strdup($0) }
    defer { copies.forEach { free($0) } }
    let pointers = copies.map { UnsafePointer($0) } + [nil]
    return pointers.withUnsafeBufferPointer { body($0.baseAddress) }
}
