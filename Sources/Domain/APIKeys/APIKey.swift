package import Foundation

/// The credential of a program, as it may be shown: the secret is not here, only a hash of it is kept.
package struct APIKey: Sendable, Identified {
    package typealias ID = TypedID<APIKey>
    package static let idPrefix = "key"

    /// What a key may do.
    package enum Scope: String, Sendable, CaseIterable { case send, read, manage }

    package let id: ID
    package let account: Account.ID
    package let label: String
    package let isTest: Bool
    package let scopes: Set<Scope>
    /// nil: every sender of the account.
    package let allowedSenders: Set<Sender.ID>?
    package let createdAt: Date
    package let expiresAt: Date?
    /// At minute grain.
    package let lastUsedAt: Date?
    package let revokedAt: Date?
}

/// Who calls: the account, and what the key allows. `key` is nil for the command line.
package struct Caller: Sendable {
    package let account: Account.ID
    package let key: APIKey.ID?
    package let isTest: Bool
    package let scopes: Set<APIKey.Scope>
    package let allowedSenders: Set<Sender.ID>?
    /// The account's calling code for national numbers; nil: E.164 only.
    package let callingCode: String?

    package init(
        account: Account.ID, key: APIKey.ID? = nil, isTest: Bool = false, scopes: Set<APIKey.Scope> = Set(APIKey.Scope.allCases),
        allowedSenders: Set<Sender.ID>? = nil, callingCode: String? = nil
    ) {
        self.account = account
        self.key = key
        self.isTest = isTest
        self.scopes = scopes
        self.allowedSenders = allowedSenders
        self.callingCode = callingCode
    }
}

/// Why a key was not let in. Every case but `busy` is a 401 with the same body.
package enum AuthenticationFailure: String, Error, Sendable {
    case malformed, unknown, revoked, expired
    /// Too many keys are being hashed; try again (429).
    case busy
}
