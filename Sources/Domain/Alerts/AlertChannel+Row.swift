import Foundation
import Postgres
import Secrets

/// What `address_sealed` holds.
struct StoredAddress: Codable {
    var chat: Int64?
    var kind: String?
    var title: String?
    var mail: String?

    static func email(_ address: EmailAddress) -> StoredAddress { StoredAddress(mail: address.text) }

    static func telegram(_ chat: TelegramChat) -> StoredAddress { StoredAddress(chat: chat.id, kind: chat.kind.rawValue, title: chat.title) }

    func address() throws -> AlertChannel.Address {
        if let mail, let address = EmailAddress(mail) { return .email(address) }
        guard let chat, let kind = kind.flatMap(TelegramChat.Kind.init), let title else { throw SecretsFailure(.malformed) }
        return .telegram(TelegramChat(id: chat, kind: kind, title: title))
    }
}

extension AlertChannel {
    /// Of `alert_channels c`.
    static let columns: SQL = """
        c.account_id, c.channel_id, c.kind AS channel_kind, c.state AS channel_state, c.state_code, c.address_sealed, c.language, c.minimum_severity, c.kinds,
            c.quiet_from, c.quiet_to, c.zone, c.digest_hour, c.self_test, c.escalation_only, c.muted_until, c.created_at AS channel_created_at,
            c.activated_at, c.last_success_at
        """
}

extension ChannelSettings {
    init(row: RowReader) throws {
        let from = try row.column("quiet_from", as: Int?.self)
        let to = try row.column("quiet_to", as: Int?.self)
        self.init(
            language: try row.state("language"), minimumSeverity: try row.state("minimum_severity"),
            kinds: try row.column("kinds", as: [String]?.self)?.compactMap(AlertKind.init),
            quietHours: from.flatMap { from in to.flatMap { QuietHours(from: from, to: $0) } }, zone: try row["zone"],
            digestHour: try row["digest_hour"], selfTest: try row["self_test"], isEscalationOnly: try row["escalation_only"])
    }
}

/// A channel as it is read, still sealed: rows do not outlive the read.
struct ChannelRow: Sendable {
    let account: Account.ID
    let id: AlertChannel.ID
    let kind: AlertChannel.Kind
    let state: AlertChannel.State
    let stateCode: String?
    let address: [UInt8]
    let settings: ChannelSettings
    let mutedUntil: Date?
    let createdAt: Date
    let activatedAt: Date?
    let lastSuccessAt: Date?

    init(row: RowReader) throws {
        account = try row["account_id"]
        id = try row["channel_id"]
        kind = try row.state("channel_kind")
        state = try row.state("channel_state")
        stateCode = try row["state_code"]
        address = try row["address_sealed"]
        settings = try ChannelSettings(row: row)
        mutedUntil = try row["muted_until"]
        createdAt = try row["channel_created_at"]
        activatedAt = try row["activated_at"]
        lastSuccessAt = try row["last_success_at"]
    }

    func channel(_ sealer: Sealer) throws -> AlertChannel {
        AlertChannel(
            id: id, account: account, kind: kind, state: state, stateCode: stateCode,
            address: try AlertCoding.decode(StoredAddress.self, from: sealer.openText(address, .channelAddress(id))).address(), settings: settings,
            mutedUntil: mutedUntil, createdAt: createdAt, activatedAt: activatedAt, lastSuccessAt: lastSuccessAt)
    }
}
