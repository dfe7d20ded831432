import Alerting
import Domain
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Web

/// Where Telegram and Resend post what happened. Who they are is known by a secret; without it a request is a stranger's and changes nothing.
struct AlertHooks {
    /// A message of the longest kind, with all that Telegram adds to it.
    private static let bodyLimit = 1 << 20

    let gateway: Gateway
    let parts: AlertingParts
    let now: @Sendable () -> Date
    let logger: Logger

    func add(to router: Hummingbird.Router<WebContext>) {
        if let telegram = parts.telegram, let webhook = telegram.webhook {
            let inbox = TelegramInbox(gateway: gateway, desk: telegram.desk, now: now, logger: logger)
            router.path("hooks/telegram", post: { request, _ in try await receive(request, webhook, inbox) })
        }
        if let secret = parts.resendSecret {
            router.path("hooks/resend", post: { request, _ in try await receive(request, secret) })
        }
    }

    /// The secret is looked at before the body. Whatever Telegram may send again is answered with an error, everything else with 200.
    private func receive(_ request: Request, _ webhook: TelegramWebhook, _ inbox: TelegramInbox) async throws -> Response {
        guard webhook.isGenuine(request.header(TelegramWebhook.header)) else { throw Problem(.notFound, "There is no such page; see /docs.") }
        let body = try await request.body.collect(upTo: Self.bodyLimit)
        guard let update = TelegramUpdate(json: Array(body.readableBytesView)) else { return Response(status: .ok) }
        do { try await inbox.receive(update) } catch {
            logger.warning("telegram update not taken", metadata: ["error.code": "\(type(of: error))"])
            return Response(status: .serviceUnavailable)
        }
        return Response(status: .ok)
    }

    private func receive(_ request: Request, _ secret: String) async throws -> Response {
        let body = try await request.body.collect(upTo: Self.bodyLimit)
        let bytes = Array(body.readableBytesView)
        guard let event = ResendEvent(body: bytes, header: { request.header($0) }, secret: secret, now: now()) else {
            throw Problem(.notFound, "There is no such page; see /docs.")
        }
        if event.isEnd {
            let code = event.type.replacing("email.", with: "")
            if try await gateway.alerts.blockEmail(provider: event.email, code: code, now: now()) {
                logger.info("e-mail channel blocked", metadata: ["error.code": "\(code)"])
            }
        }
        return Response(status: .ok)
    }
}

extension Request {
    fileprivate func header(_ name: String) -> String? { HTTPField.Name(name).flatMap { headers[$0] } }
}
