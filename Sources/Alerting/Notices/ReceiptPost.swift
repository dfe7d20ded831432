import Domain
import Foundation
import Logging

/// Sends the receipts of accounts that are gone, to the addresses that they had verified. Nothing else leads to those people any more.
struct ReceiptPost: Sendable {
    private static let claimLength: TimeInterval = 120

    let gateway: Gateway
    let courier: NoticeCourier
    let writer: NoticeWriter
    let now: @Sendable () -> Date
    let logger: Logger

    /// - Returns: how many were tried.
    func turn() async throws -> Int {
        let time = now()
        let claimed = try await gateway.alerts.claimReceipts(limit: 20, now: time, deadline: time.addingTimeInterval(Self.claimLength))
        for receipt in claimed {
            let ending = await courier.send(
                writer.email(writer.letter(receipt), to: receipt.address), key: "receipt/\(receipt.id.uuidString.lowercased())")
            let isOver: Bool
            switch ending {
            // An address that takes nothing will not take it tomorrow.
            case .sent, .dead, .blocked: isOver = true
            case .again, .migrated, .released: isOver = false
            }
            try await Task { try await gateway.alerts.record(receipt, sent: isOver, now: now()) }.value
        }
        return claimed.count
    }
}
