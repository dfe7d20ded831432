extension JID: CustomStringConvertible {
    /// `user@server`, `user:device@server`, `user.agent:device@server`, or only the server (protocol.md 4.2). Holds a phone number: not for logs.
    package var description: String {
        if user.isEmpty { return server.rawValue }
        if agent != 0 { return adString }
        if device != 0 { return "\(user):\(device)@\(server.rawValue)" }
        return "\(user)@\(server.rawValue)"
    }

    /// Reads the text form; nil when it is not one. Numbers must be plain decimal digits in range.
    package init?(_ text: String) {
        let utf8 = text.utf8
        guard let at = utf8.lastIndex(of: UInt8(ascii: "@")) else {
            guard !text.isEmpty else { return nil }
            self.init(user: "", server: Server(rawValue: text))
            return
        }
        let serverText = text[utf8.index(after: at)...]
        var userText = text[..<at]
        guard !serverText.isEmpty, !userText.isEmpty, !userText.utf8.contains(UInt8(ascii: "@")) else { return nil }

        var device: UInt16 = 0
        if let colon = userText.utf8.lastIndex(of: UInt8(ascii: ":")) {
            guard let number = UInt16(digits: userText[userText.utf8.index(after: colon)...]) else { return nil }
            device = number
            userText = userText[..<colon]
        }
        var agent: UInt8 = 0
        if let dot = userText.utf8.lastIndex(of: UInt8(ascii: ".")) {
            guard let number = UInt8(digits: userText[userText.utf8.index(after: dot)...]) else { return nil }
            agent = number
            userText = userText[..<dot]
        }
        guard !userText.isEmpty, !userText.utf8.contains(UInt8(ascii: ":")), !userText.utf8.contains(UInt8(ascii: ".")) else { return nil }

        let server = Server(rawValue: String(serverText))
        var integrator: UInt16 = 0
        if server == .interop, let dash = userText.utf8.firstIndex(of: UInt8(ascii: "-")) {
            integrator = UInt16(digits: userText[..<dash]) ?? 0
        }
        self.init(user: String(userText), server: server, device: device, agent: agent, integrator: integrator)
    }
}

extension FixedWidthInteger {
    /// Reads decimal digits and nothing else: no sign, no space, no empty text; nil also when it does not fit.
    init?(digits text: some StringProtocol) {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }), let value = Self(text, radix: 10) else {
            return nil
        }
        self = value
    }
}
