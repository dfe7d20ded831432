import CCurl
import CCurlShim
import Glibc

/// One exchange while libcurl performs it: its options, what has come so far, and why it must stop. Lives on the event thread alone.
final class Transfer {
    let submission: Submission
    let easy: EasyHandle
    private var status = 0
    private var headers: [OutboundResponse.Header] = []
    private var headerBytes = 0
    private var body: [UInt8] = []
    private var isInBody = false
    private var hasWholeHead = false
    private var isTruncated = false
    /// Set as soon as a byte of the request may leave.
    private(set) var isOnWire = false
    /// Why a callback of ours ended it.
    private var stop: OutboundFailure?

    private var order: TransferOrder { submission.order }

    init(_ submission: Submission, _ easy: EasyHandle) {
        self.submission = submission
        self.easy = easy
    }

    // MARK: Options

    /// False if libcurl refuses one of them.
    func configure(now: ContinuousClock.Instant) -> Bool {
        let request = order.request
        let url = request.url
        easy.set(CURLOPT_URL, url.text)
        easy.set(CURLOPT_PROTOCOLS_STR, url.scheme.rawValue)
        easy.set(CURLOPT_FOLLOWLOCATION, false)
        easy.set(CURLOPT_DISALLOW_USERNAME_IN_URL, true)
        easy.set(CURLOPT_NOSIGNAL, true)
        // Whatever the name, this address: no lookup, and connections are shared only among requests to the same name and the same address.
        easy.set(CURLOPT_CONNECT_TO, list: ["::\(order.address.inURL):\(url.port)"])
        easy.set(CURLOPT_DNS_CACHE_TIMEOUT, 0)
        if request.ownConnection { easy.set(CURLOPT_FRESH_CONNECT, true) }
        easy.set(CURLOPT_MAXAGE_CONN, Int(order.connectionRest.components.seconds))
        easy.set(CURLOPT_TIMEOUT_MS, order.deadline - now)
        easy.set(CURLOPT_CONNECTTIMEOUT_MS, min(order.connectDeadline, order.deadline - now))
        easy.set(CURLOPT_SSL_VERIFYPEER, true)
        easy.set(CURLOPT_SSL_VERIFYHOST, 2)
        easy.set(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        if let file = order.certificateFile { easy.set(CURLOPT_CAINFO, file) }
        easy.set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_2TLS))
        easy.set(CURLOPT_USERAGENT, order.userAgent)
        // Also ends a response that announces too much, before it comes. Of a HEAD nothing comes.
        if request.excess == .fail, request.method != .head { easy.set(limit: order.bodyLimit) }
        if request.acceptsCompression { easy.set(CURLOPT_ACCEPT_ENCODING, "gzip, deflate") }
        configureProxy()
        configureMethod(request)
        easy.set(callbacksOf: self)
        return easy.refused == nil
    }

    private func configureProxy() {
        // An empty text means: none, whatever the environment says.
        guard let proxy = order.proxy else { return easy.set(CURLOPT_PROXY, "") }
        easy.set(CURLOPT_PROXY, "http://\(proxy.address.inURL):\(proxy.port)")
        easy.set(CURLOPT_NOPROXY, "")
        easy.set(CURLOPT_HTTPPROXYTUNNEL, true)
        easy.set(CURLOPT_SUPPRESS_CONNECT_HEADERS, true)
        guard let credentials = proxy.credentials else { return }
        easy.set(CURLOPT_PROXYAUTH, 1)  // CURLAUTH_BASIC, a macro that Swift cannot read
        easy.set(CURLOPT_PROXYUSERNAME, credentials.user)
        easy.set(CURLOPT_PROXYPASSWORD, credentials.password)
    }

    private func configureMethod(_ request: OutboundRequest) {
        switch request.method {
        case .get: easy.set(CURLOPT_HTTPGET, true)
        case .head: easy.set(CURLOPT_NOBODY, true)
        case .delete where request.body.isEmpty:
            easy.set(CURLOPT_HTTPGET, true)
            easy.set(CURLOPT_CUSTOMREQUEST, request.method.rawValue)
        case .post, .put, .patch, .delete:
            easy.set(CURLOPT_POST, true)
            easy.set(body: request.body)
            if request.method != .post { easy.set(CURLOPT_CUSTOMREQUEST, request.method.rawValue) }
        }
        // "Name;" is libcurl's way to send an empty value, and "Name:" to send none of its own.
        var lines = request.headers.map { $0.value.isEmpty ? "\($0.name);" : "\($0.name): \($0.value)" }
        lines.append("Expect:")
        if !request.headers.contains(where: { $0.name.lowercased() == "content-type" }) { lines.append("Content-Type:") }
        easy.set(CURLOPT_HTTPHEADER, list: lines)
        easy.set(CURLOPT_PROXYHEADER, list: ["User-Agent: \(order.userAgent)"])
        easy.set(CURLOPT_HEADEROPT, Int(CURLHEADER_SEPARATE))
    }

    // MARK: The end

    /// What the caller gets once libcurl is done with it.
    func result(_ code: CURLcode, now: ContinuousClock.Instant) -> Result<OutboundResponse, OutboundFailure> {
        if let stop { return .failure(stop) }
        guard code == CURLE_OK || isTruncated else { return .failure(failure(code)) }
        // libcurl takes an end in the middle of the headers for the end of the response.
        guard hasWholeHead else {
            return .failure(OutboundFailure(.connectionLost, "the headers are not complete", isTransient: true, mayHaveArrived: isOnWire))
        }
        guard (200...999).contains(status) else {
            return .failure(OutboundFailure(.protocolError, "the answer has no valid status", isTransient: true, mayHaveArrived: isOnWire))
        }
        return .success(
            OutboundResponse(
                status: status, headers: headers, body: body, isTruncated: isTruncated,
                version: easy.number(CURLINFO_HTTP_VERSION) == Int(CURL_HTTP_VERSION_2_0) ? .http2 : .http1,
                openedConnection: easy.number(CURLINFO_NUM_CONNECTS) > 0, duration: now - order.began))
    }

    private func failure(_ code: CURLcode) -> OutboundFailure {
        // Fixed texts of libcurl, without hosts or paths in them.
        let detail = "\(String(cString: curl_easy_strerror(code))) (curl \(code.rawValue))"
        let connectStatus = easy.number(CURLINFO_HTTP_CONNECTCODE)
        if order.proxy != nil, !isOnWire {
            if connectStatus != 0, connectStatus / 100 != 2 {
                return OutboundFailure(.proxyFailed, "the proxy answered \(connectStatus)", isTransient: connectStatus != 407)
            }
            if connectStatus == 0, code != CURLE_OPERATION_TIMEDOUT { return OutboundFailure(.proxyFailed, detail, isTransient: true) }
        }
        let (failureCode, isTransient): (OutboundFailure.Code, Bool) =
            switch code {
            case CURLE_OPERATION_TIMEDOUT: (.timeout, true)
            case CURLE_COULDNT_CONNECT: (.connectFailed, true)
            case CURLE_COULDNT_RESOLVE_PROXY, CURLE_PROXY: (.proxyFailed, true)
            case CURLE_SSL_CONNECT_ERROR: (.tlsFailed, true)
            case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS, CURLE_SSL_CIPHER: (.tlsFailed, false)
            case CURLE_SSL_CACERT_BADFILE: (.misconfigured, false)
            case CURLE_PARTIAL_FILE, CURLE_GOT_NOTHING, CURLE_SEND_ERROR, CURLE_RECV_ERROR: (.connectionLost, true)
            case CURLE_FILESIZE_EXCEEDED: (.tooLarge, false)
            case CURLE_UNSUPPORTED_PROTOCOL, CURLE_WEIRD_SERVER_REPLY, CURLE_HTTP2, CURLE_HTTP2_STREAM, CURLE_BAD_CONTENT_ENCODING:
                (.protocolError, true)
            default: (isOnWire ? .protocolError : .internal, true)
            }
        return OutboundFailure(failureCode, detail, isTransient: isTransient, mayHaveArrived: isOnWire)
    }

    // MARK: Callbacks of libcurl, on the event thread, while the transfer is in the multi handle

    private static func of(_ context: UnsafeMutableRawPointer?) -> Transfer? {
        context.map { Unmanaged<Transfer>.fromOpaque($0).takeUnretainedValue() }
    }

    /// Opens the socket itself, and only to the one peer: libcurl cannot be talked into another, whatever it looked up or was told.
    static let onSocket: curl_opensocket_callback = { context, _, target in
        guard let transfer = Transfer.of(context), let target, let offset = MemoryLayout<curl_sockaddr>.offset(of: \.addr) else { return -1 }
        let peer = IPAddress.read(UnsafeRawPointer(target) + offset, length: Int(target.pointee.addrlen))
        guard let peer, peer == transfer.order.peer else {
            transfer.refusePeer()
            return -1
        }
        return socket(target.pointee.family, target.pointee.socktype | Int32(SOCK_CLOEXEC.rawValue), target.pointee.protocol)
    }

    /// Asked before every request, on reused connections too.
    static let onRequest: curl_prereq_callback = { context, address, _, port, _ in
        guard let transfer = Transfer.of(context), let address, let peer = IPAddress(String(cString: address)),
            (peer, Int(port)) == transfer.order.peer
        else {
            Transfer.of(context)?.refusePeer()
            return CURL_PREREQFUNC_ABORT
        }
        transfer.isOnWire = true
        return CURL_PREREQFUNC_OK
    }

    static let onHeader: curl_write_callback = { bytes, size, count, context in
        guard let transfer = Transfer.of(context), let bytes else { return 0 }
        let line = UnsafeRawBufferPointer(start: bytes, count: size * count)
        return transfer.received(headerLine: line) ? line.count : 0
    }

    static let onBody: curl_write_callback = { bytes, size, count, context in
        guard let transfer = Transfer.of(context), let bytes else { return 0 }
        let part = UnsafeRawBufferPointer(start: bytes, count: size * count)
        return transfer.received(bodyPart: part) ? part.count : 0
    }

    private func refusePeer() {
        stop = OutboundFailure(.addressForbidden, "libcurl was about to use another address than the vetted one", isTransient: false)
    }

    private func received(headerLine line: UnsafeRawBufferPointer) -> Bool {
        headerBytes += line.count
        guard headerBytes <= order.headerLimit else { return exceeded("the headers have more than \(order.headerLimit) bytes") }
        guard !isInBody else { return true }  // trailers
        let text = String(decoding: line, as: UTF8.self).trimmingPrefix { $0.isWhitespace }
        if text.hasPrefix("HTTP/") {  // again after each 1xx
            status = text.split(separator: " ").dropFirst().first.flatMap { Int($0.prefix { $0.isNumber }) } ?? 0
            headers = []
            hasWholeHead = false
        } else if text.isEmpty {
            hasWholeHead = true
        } else if let colon = text.firstIndex(of: ":") {
            let value = text[colon...].dropFirst().drop { $0.isWhitespace }
            let end = value.lastIndex { !$0.isWhitespace }.map(value.index(after:)) ?? value.startIndex
            headers.append(OutboundResponse.Header(name: text[..<colon].lowercased(), value: String(value[..<end])))
        }
        return true
    }

    private func received(bodyPart part: UnsafeRawBufferPointer) -> Bool {
        isInBody = true
        let room = order.bodyLimit - body.count
        guard part.count > room else {
            body.append(contentsOf: part)
            return true
        }
        guard order.request.excess == .truncate else { return exceeded("the body has more than \(order.bodyLimit) bytes") }
        body.append(contentsOf: part.prefix(room))
        isTruncated = true
        return false
    }

    private func exceeded(_ detail: String) -> Bool {
        stop = OutboundFailure(.tooLarge, detail, isTransient: false, mayHaveArrived: true)
        return false
    }
}
