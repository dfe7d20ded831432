/// A WhatsApp address: a user's device, a user, a group, or a server itself (then `user` is empty).
///
/// Two JIDs are equal when all parts are; compare `bare` to ask for the same user.
package struct JID: Hashable, Sendable {
    /// Digits for phone numbers and LIDs; `integrator-digits` for `interop`; empty for a server.
    package var user: String
    package var server: Server
    /// 0 is the phone, everything else a linked device. 99 is a device hosted by Meta.
    package var device: UInt16
    /// A raw agent: the domain byte of a device address whose server the byte does not name. Nearly always 0.
    package var agent: UInt8
    /// Which other messenger an `interop` user belongs to, else 0.
    package var integrator: UInt16

    package init(user: String, server: Server, device: UInt16 = 0, agent: UInt8 = 0, integrator: UInt16 = 0) {
        self.user = user
        self.server = server
        self.device = device
        self.agent = agent
        self.integrator = integrator
    }

    /// `s.whatsapp.net`, the server as the receiver of a request.
    package static let server = JID(user: "", server: .phone)

    /// The user of a phone number, given as digits without plus.
    package static func phone(_ digits: String, device: UInt16 = 0) -> JID { JID(user: digits, server: .phone, device: device) }

    /// The user of a LID, given as digits.
    package static func lid(_ digits: String, device: UInt16 = 0) -> JID { JID(user: digits, server: .lid, device: device) }

    /// The user, without device and agent.
    package var bare: JID { JID(user: user, server: server, integrator: integrator) }

    /// The same user's device of this number.
    package func withDevice(_ device: UInt16) -> JID {
        var other = self
        other.device = device
        return other
    }

    /// Whether this is the phone itself, or a user without any device named.
    package var isPrimaryDevice: Bool { device == 0 }

    /// Whether it names a server and no user.
    package var isServer: Bool { user.isEmpty }

    /// `user.agent:device@server` with both numbers written out: the form that is hashed (protocol.md 4.2).
    package var adString: String { "\(user).\(agent):\(device)@\(server.rawValue)" }

    /// The name of the Signal address: the user, plus `_` and the domain number when that is not 0 (protocol.md 4.4).
    /// The address's device is `device`.
    package var signalName: String {
        let domain = domainNumber
        return domain == 0 ? user : "\(user)_\(domain)"
    }

    /// The number that stands for the server in a device address: 0 phone, 1 LID, 128 and 129 hosted, else the raw agent.
    var domainNumber: UInt8 { server.domainNumber ?? agent }
}

extension JID {
    /// The part behind the `@`. Peers may send servers we have no name for.
    package struct Server: RawRepresentable, Hashable, Sendable {
        package let rawValue: String

        package init(rawValue: String) { self.rawValue = rawValue }

        /// Phone-number users, and the server itself.
        package static let phone = Server(rawValue: "s.whatsapp.net")
        /// Users by their hidden id, the LID.
        package static let lid = Server(rawValue: "lid")
        /// Devices that Meta hosts for a business, by phone number.
        package static let hosted = Server(rawValue: "hosted")
        /// Devices that Meta hosts for a business, by LID.
        package static let hostedLID = Server(rawValue: "hosted.lid")
        package static let group = Server(rawValue: "g.us")
        package static let broadcast = Server(rawValue: "broadcast")
        package static let newsletter = Server(rawValue: "newsletter")
        /// The old spelling of `phone`, still used in contact queries and message ids.
        package static let legacy = Server(rawValue: "c.us")
        package static let bot = Server(rawValue: "bot")
        package static let messenger = Server(rawValue: "msgr")
        package static let interop = Server(rawValue: "interop")
        package static let call = Server(rawValue: "call")

        /// The domain byte of protocol.md 3.5; nil where the server has none of its own. Phone users may carry a raw agent instead of their 0.
        var domainNumber: UInt8? {
            switch self {
            case .lid: 1
            case .hosted: 128
            case .hostedLID: 129
            default: nil
            }
        }
    }
}
