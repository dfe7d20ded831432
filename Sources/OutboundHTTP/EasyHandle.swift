import CCurl
import CCurlShim

/// One libcurl easy handle, freed with the object. Not `Sendable`: it never leaves the event thread.
/// The first option that libcurl refuses is remembered; a transfer whose options were not all taken must not start.
final class EasyHandle {
    let raw: UnsafeMutableRawPointer
    private(set) var refused: CURLcode?
    private var lists: [UnsafeMutablePointer<curl_slist>] = []

    init?() {
        guard let raw = curl_easy_init() else { return nil }
        self.raw = raw
    }

    deinit {
        curl_easy_cleanup(raw)
        for list in lists { curl_slist_free_all(list) }
    }

    /// Forgets all options; connections and TLS sessions belong to the multi handle and stay.
    func reset() {
        curl_easy_reset(raw)
        for list in lists { curl_slist_free_all(list) }
        lists = []
        refused = nil
    }

    func set(_ option: CURLoption, _ value: Int) { note(ccurl_set_long(raw, option, value)) }
    func set(_ option: CURLoption, _ isOn: Bool) { note(ccurl_set_long(raw, option, isOn ? 1 : 0)) }
    func set(_ option: CURLoption, _ text: String) { note(ccurl_set_text(raw, option, text)) }

    func set(_ option: CURLoption, _ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        // At least one: libcurl takes 0 for no limit.
        set(option, Int(clamping: max(1, min(seconds, 1 << 30) * 1_000 + attoseconds / 1_000_000_000_000_000)))
    }

    func set(_ option: CURLoption, list texts: [String]) {
        var list: UnsafeMutablePointer<curl_slist>?
        for text in texts {
            guard let longer = curl_slist_append(list, text) else {
                if let list { curl_slist_free_all(list) }
                return note(CURLE_OUT_OF_MEMORY)
            }
            list = longer
        }
        guard let list else { return }
        lists.append(list)
        note(ccurl_set_list(raw, option, list))
    }

    /// 0 is no limit to libcurl; the callback that counts the body knows better.
    func set(limit bytes: Int) { note(ccurl_set_offset(raw, CURLOPT_MAXFILESIZE_LARGE, curl_off_t(bytes))) }

    /// libcurl copies the bytes.
    func set(body: [UInt8]) {
        note(ccurl_set_offset(raw, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body.count)))
        // An empty array's pointer may be nil, which would mean "read it from a callback".
        (body.isEmpty ? [0] : body).withUnsafeBytes { note(ccurl_set_pointer(raw, CURLOPT_COPYPOSTFIELDS, $0.baseAddress)) }
    }

    /// Gives the callbacks their transfer, which the caller keeps alive until the handle has left the multi handle.
    func set(callbacksOf transfer: Transfer) {
        let context = Unmanaged.passUnretained(transfer).toOpaque()
        note(ccurl_set_pointer(raw, CURLOPT_PRIVATE, context))
        note(ccurl_set_write(raw, Transfer.onBody, context))
        note(ccurl_set_header(raw, Transfer.onHeader, context))
        note(ccurl_set_open_socket(raw, Transfer.onSocket, context))
        note(ccurl_set_prerequest(raw, Transfer.onRequest, context))
    }

    func number(_ what: CURLINFO) -> Int { ccurl_info_long(raw, what) }

    private func note(_ code: CURLcode) {
        if code != CURLE_OK, refused == nil { refused = code }
    }
}
