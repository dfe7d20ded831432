package import Foundation

/// Where an account's alerts go: a Telegram chat or an e-mail address.
package struct AlertChannel: Sendable, Identified {
    package typealias ID = TypedID<AlertChannel>
    package static let idPrefix = "chn"

    package enum Kind: String, Sendable, CaseIterable { case telegram, email }

    ///     unverified ─▶ active ⇄ blocked
    ///          └──────────┴────────┴──▶ (unlinked: gone, with its address)
    ///
    /// A blocked channel takes nothing any more (the bot was blocked, the address bounces) until it is linked or verified anew.
    package enum State: String, Sendable, CaseIterable { case unverified, active, blocked }

    package enum Language: String, Sendable, CaseIterable, Codable { case english = "en", indonesian = "id" }

    package enum Address: Sendable, Hashable {
        case telegram(TelegramChat)
        case email(EmailAddress)
    }

    package let id: ID
    package let account: Account.ID
    package let kind: Kind
    package let state: State
    /// Why it is blocked, as a stable code; nil otherwise.
    package let stateCode: String?
    package let address: Address
    package let settings: ChannelSettings
    /// A person has asked for silence until then.
    package let mutedUntil: Date?
    package let createdAt: Date
    /// When it was confirmed; nil: not yet.
    package let activatedAt: Date?
    /// When something last arrived there.
    package let lastSuccessAt: Date?

    package func isMuted(at now: Date) -> Bool { mutedUntil.map { $0 > now } ?? false }
}

/// What an account wants to be told over a channel, and when.
package struct ChannelSettings: Sendable, Hashable {
    package var language: AlertChannel.Language
    package var minimumSeverity: AlertSeverity
    /// nil: all, those of later versions too.
    package var kinds: [AlertKind]?
    /// By the clock of `zone`; only what is critical is told in them.
    package var quietHours: QuietHours?
    /// An IANA name.
    package var zone: String
    /// The hour of the daily digest, 0…23; nil: none.
    package var digestHour: Int?
    /// A weekly message that shows that messages arrive.
    package var selfTest: Bool
    /// Told only of what nobody has acknowledged over Telegram in time; digests and self-tests apart. For e-mail.
    package var isEscalationOnly: Bool

    package init(
        language: AlertChannel.Language = .english, minimumSeverity: AlertSeverity = .info, kinds: [AlertKind]? = nil, quietHours: QuietHours? = nil,
        zone: String = "Asia/Jakarta", digestHour: Int? = 8, selfTest: Bool = true, isEscalationOnly: Bool = false
    ) {
        self.language = language
        self.minimumSeverity = minimumSeverity
        self.kinds = kinds
        self.quietHours = quietHours
        self.zone = zone
        self.digestHour = digestHour
        self.selfTest = selfTest
        self.isEscalationOnly = isEscalationOnly
    }

    /// Whether an alert of that kind and severity is for this channel at all.
    package func wants(_ kind: AlertKind, _ severity: AlertSeverity) -> Bool {
        severity >= minimumSeverity && (kinds?.contains(kind) ?? true) && !isEscalationOnly
    }
}

/// A chat as Telegram describes it. Redacts itself: neither its id nor its names belong in a log.
package struct TelegramChat: Sendable, Hashable, CustomStringConvertible {
    package enum Kind: String, Sendable, CaseIterable { case `private`, group, supergroup }

    package let id: Int64
    package let kind: Kind
    /// The person's name, or the group's title; at most 128 characters, without control characters.
    package let title: String

    package init(id: Int64, kind: Kind, title: String) {
        self.id = id
        self.kind = kind
        let printable = title.unicodeScalars.filter { !$0.properties.isDefaultIgnorableCodePoint && $0.value >= 0x20 && $0.value != 0x7F }
        self.title = String(String(String.UnicodeScalarView(printable)).prefix(128))
    }

    package var isGroup: Bool { kind != .private }
    package var description: String { "TelegramChat(redacted)" }
}

/// An address that mail can be sent to: `local@domain`, ASCII, at most 254 characters (RFC 5321 §4.5.3.1.3). Redacts itself.
package struct EmailAddress: Sendable, Hashable, CustomStringConvertible {
    package let text: String

    /// nil: it is none. The domain is lower-cased.
    package init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard (6...254).contains(bytes.count), bytes.allSatisfy({ (0x21...0x7E).contains($0) }) else { return nil }
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, (1...64).contains(parts[0].utf8.count) else { return nil }
        // RFC 5321 §4.1.2, dot-string only: quoted local parts exist on paper.
        let isAtom = { (part: Substring) in
            !part.isEmpty && part.utf8.allSatisfy { $0.isASCIILetterOrDigit || "!#$%&'*+-/=?^_`{|}~".utf8.contains($0) }
        }
        guard parts[0].split(separator: ".", omittingEmptySubsequences: false).allSatisfy(isAtom) else { return nil }
        let labels = parts[1].split(separator: ".", omittingEmptySubsequences: false)
        let isLabel = { (label: Substring) in
            (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy { $0.isASCIILetterOrDigit || $0 == UInt8(ascii: "-") }
        }
        guard labels.count >= 2, labels.allSatisfy(isLabel), let top = labels.last, top.utf8.count >= 2, top.utf8.contains(where: \.isASCIILetter)
        else { return nil }
        self.text = parts[0] + "@" + parts[1].lowercased()
    }

    /// What two addresses are compared by.
    var canonical: String { text.lowercased() }
    package var description: String { "EmailAddress(redacted)" }
}

extension UInt8 {
    fileprivate var isASCIILetter: Bool { (0x41...0x5A).contains(self) || (0x61...0x7A).contains(self) }
    fileprivate var isASCIILetterOrDigit: Bool { isASCIILetter || (0x30...0x39).contains(self) }
}
