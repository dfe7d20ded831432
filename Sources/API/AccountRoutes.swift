import Domain
import Foundation
import Hummingbird
import Web

extension Routes {
    /// `POST /v1/account/close`: deletes everything about the account. The body repeats its id. A test key may only close what has nothing live.
    func closeAccount(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        // By nature the same twice: the first call refuses the key of every later one.
        _ = try idempotencyKey(request)
        let body = try await JSONBody.read(CloseAccountBody.self, from: request, limit: maximumBody)
        guard body.confirm == caller.account.description else {
            throw Problem(
                .confirmationMismatch, "confirm must be the id of the account that the key belongs to.",
                fields: [.init(pointer: "/confirm", code: "mismatch", detail: "is another id")])
        }
        let receipt: DeletionReceipt?
        do {
            receipt = try await gateway.closing.close(caller.account, sparesLive: caller.isTest, now: now)
        } catch is Closing.LiveAccount {
            throw Problem(.liveKeyRequired, "A test key may not close an account that has a live sender or a live key.")
        }
        guard let receipt else { throw AccountGone(account: caller.account) }
        return JSONResponse.make(ClosingReceiptJSON(receipt))
    }
}

private struct CloseAccountBody: Decodable, Sendable {
    var confirm: String?

    init(from decoder: any Decoder) throws {
        var fields = try StrictFields(decoder)
        confirm = fields.required("confirm")
        try fields.finish()
    }
}

/// The deletion receipt: random ids and counts, nothing about whom it was.
private struct ClosingReceiptJSON: Encodable {
    var receipt: String
    var closedAt: Date
    var backupsUnreadableAt: Date
    var rows: [String: Int]

    enum CodingKeys: String, CodingKey {
        case receipt, rows
        case closedAt = "closed_at"
        case backupsUnreadableAt = "backups_unreadable_at"
    }

    init(_ receipt: DeletionReceipt) {
        self.receipt = receipt.id.description
        closedAt = receipt.completedAt
        backupsUnreadableAt = receipt.backupsUnreadableAt
        rows = receipt.counts
    }
}
