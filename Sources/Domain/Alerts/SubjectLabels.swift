import Foundation
import Postgres
import Secrets

/// One thing that an alert is about, wherever it is.
struct SubjectPlace: Hashable, Sendable {
    let account: Account.ID
    let kind: AlertKind.SubjectKind
    let id: UUID
}

/// What people called the things that alerts are about. Sealed where they stand, and never stored with an alert.
struct SubjectLabels: Sendable {
    private var labels: [SubjectPlace: String] = [:]

    subscript(_ place: SubjectPlace) -> String? { labels[place] }

    /// Those that are gone, or of an account that is gone, have none.
    static func read(_ places: [SubjectPlace], database: Database, keys: AccountKeys) async throws -> SubjectLabels {
        var found = SubjectLabels()
        let byKind = Dictionary(grouping: Set(places), by: \.kind)
        for (kind, places) in byKind.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            guard let sql = sql(kind, places) else { continue }
            let rows = try await database.query("alerts.labels", sql, settings: Databases.accounts(places.map(\.account)), access: .readOnly) {
                (
                    account: try $0.column("account_id", as: Account.ID.self), id: try $0.column("subject_id", as: UUID.self),
                    sealed: try $0.column("sealed", as: [UInt8]?.self), text: try $0.column("text", as: String?.self)
                )
            }
            for row in rows {
                let place = SubjectPlace(account: row.account, kind: kind, id: row.id)
                if let text = row.text { found.labels[place] = text }
                guard let sealed = row.sealed, let label = context(place) else { continue }
                do {
                    let text = try await keys.sealer(for: row.account).openText(sealed, label)
                    if !text.isEmpty { found.labels[place] = text }
                } catch is AccountGone {
                } catch is SecretsFailure {
                    // A label that cannot be opened keeps no alert from being told.
                }
            }
        }
        return found
    }

    private static func sql(_ kind: AlertKind.SubjectKind, _ places: [SubjectPlace]) -> SQL? {
        let wanted: SQL = "FROM unnest(\(places.map(\.account)), \(places.map(\.id))) AS w (account_id, id)"
        return switch kind {
        case .sender:
            """
            SELECT t.account_id, t.sender_id AS subject_id, t.label_sealed AS sealed, NULL::text AS text \(wanted)
            JOIN senders t ON t.account_id = w.account_id AND t.sender_id = w.id
            """
        case .endpoint:
            """
            SELECT t.account_id, t.endpoint_id AS subject_id, t.description_sealed AS sealed, NULL::text AS text \(wanted)
            JOIN webhook_endpoints t ON t.account_id = w.account_id AND t.endpoint_id = w.id
            """
        case .key:
            """
            SELECT t.account_id, t.key_id AS subject_id, t.label_sealed AS sealed, NULL::text AS text \(wanted)
            JOIN api_keys t ON t.account_id = w.account_id AND t.key_id = w.id
            """
        case .channel:
            // Its address belongs in no message.
            """
            SELECT t.account_id, t.channel_id AS subject_id, NULL::bytea AS sealed, t.kind AS text \(wanted)
            JOIN alert_channels t ON t.account_id = w.account_id AND t.channel_id = w.id
            """
        case .account, .gateway: nil
        }
    }

    private static func context(_ place: SubjectPlace) -> Sealed? {
        switch place.kind {
        case .sender: .senderLabel(Sender.ID(place.id))
        case .endpoint: .webhookDescription(WebhookEndpoint.ID(place.id))
        case .key: .keyLabel(APIKey.ID(place.id))
        case .channel, .account, .gateway: nil
        }
    }
}
