import Domain
import Foundation
import Hummingbird
import NIOCore
import Web

/// What the routes of alerts know of how alerts leave.
package struct AlertSetup: Sendable {
    /// The bot's user name without its @; nil: no bot is configured, or Telegram has not said yet who it is.
    package var telegramBot: @Sendable () async -> String?
    package var sendsEmail: Bool

    package init(telegramBot: @escaping @Sendable () async -> String? = { nil }, sendsEmail: Bool = false) {
        self.telegramBot = telegramBot
        self.sendsEmail = sendsEmail
    }
}

extension Routes {
    /// `POST /v1/alerts/channels`: an e-mail address, which is asked whether it wants this before anything else goes there.
    func createAlertChannel(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .manage)
        let key = try idempotencyKey(request)
        let body = try await JSONBody.read(NewChannelBody.self, from: request, limit: maximumBody).channel
        guard alerts.sendsEmail else { throw Problem(.emailNotConfigured, "The operator has not set [alerts.resend].") }
        guard let address = body.address else { throw Problem(.internalError, "Quote the request id to the operator.") }
        let made = try await gateway.alerts.createEmail(
            account: caller.account, address: address, body.fields, idempotencyKey: key, now: now())
        guard let made else { throw Self.noSuchChannel }
        var response = JSONResponse.make(
            AlertChannelJSON(made.channel), status: .created, headers: [.location: "/v1/alerts/channels/\(made.channel.id)"])
        if made.replayed { response.headers[.idempotentReplayed] = "true" }
        return response
    }

    /// `GET /v1/alerts/channels`: newest first, also those that are not confirmed yet.
    func listAlertChannels(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .read)
        var query = QueryFields(request)
        let page = page(&query, of: AlertChannel.self)
        try query.finish()
        let all = try await gateway.alerts.channels(caller.account).drop { channel in page.after.map { channel.id >= $0 } ?? false }
        let data = all.prefix(page.limit).map { AlertChannelJSON($0) }
        return JSONResponse.make(ListJSON(data, next: all.count > page.limit ? data.last?.id : nil))
    }

    /// `GET /v1/alerts/channels/{id}`
    func getAlertChannel(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .read)
        return try answer(try await gateway.alerts.channel(try identifier(context), account: caller.account))
    }

    /// `PATCH /v1/alerts/channels/{id}`: its settings; the address stays.
    func updateAlertChannel(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .manage)
        let body = try await JSONBody.read(ChannelBody.self, from: request, limit: maximumBody)
        return try answer(try await gateway.alerts.updateChannel(try identifier(context), account: caller.account, body.fields, now: now()))
    }

    /// `DELETE /v1/alerts/channels/{id}`
    func deleteAlertChannel(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .manage)
        guard try await gateway.alerts.deleteChannel(try identifier(context), account: caller.account) else { throw Self.noSuchChannel }
        return Response(status: .noContent)
    }

    /// `POST /v1/alerts/channels/{id}/mute`: nothing is told there for a while.
    func muteAlertChannel(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .manage)
        _ = try idempotencyKey(request)
        let body = try await JSONBody.read(SilenceBody.self, from: request, limit: maximumBody)
        let time = now()
        return try answer(try await gateway.alerts.mute(try identifier(context), account: caller.account, until: body.end(time), now: time))
    }

    /// `POST /v1/alerts/channels/{id}/verification`: asks an e-mail address once more, once in a minute.
    func verifyAlertChannel(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .manage)
        _ = try idempotencyKey(request)
        try await JSONBody.readNothing(from: request, limit: maximumBody)
        guard alerts.sendsEmail else { throw Problem(.emailNotConfigured, "The operator has not set [alerts.resend].") }
        let id: AlertChannel.ID = try identifier(context)
        guard try await gateway.alerts.sendVerification(id, account: caller.account, now: now()) else { throw Self.noSuchChannel }
        var response = try answer(try await gateway.alerts.channel(id, account: caller.account))
        response.status = .accepted
        return response
    }

    /// `POST /v1/alerts/channels/{id}/test`: a message that shows that messages arrive, once in ten seconds.
    func testAlertChannel(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .manage)
        _ = try idempotencyKey(request)
        try await JSONBody.readNothing(from: request, limit: maximumBody)
        guard let notice = try await gateway.alerts.test(try identifier(context), account: caller.account, now: now()) else {
            throw Self.noSuchChannel
        }
        return JSONResponse.make(QueuedNoticeJSON(notice: notice.description), status: .accepted)
    }

    /// `GET /v1/alerts/channels/{id}/notices`: what was sent there, newest first.
    func listAlertNotices(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .read)
        var query = QueryFields(request)
        let wanted = page(&query, of: AlertNotice.self)
        try query.finish()
        guard let channel = try await gateway.alerts.channel(try identifier(context), account: caller.account) else { throw Self.noSuchChannel }
        let page = try await gateway.alerts.notices(of: channel.id, account: caller.account, page: wanted, now: now())
        return JSONResponse.make(ListJSON(page.data.map { AlertNoticeJSON($0) }, next: page.next?.description))
    }

    // MARK: Telegram

    /// `POST /v1/alerts/telegram-link`: a link that a chat is linked with; as JSON, or drawn as a QR code. Each request begins another one.
    func startTelegramLink(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .manage)
        _ = try idempotencyKey(request)
        try await JSONBody.readNothing(from: request, limit: maximumBody)
        guard let bot = await alerts.telegramBot() else {
            throw Problem(.telegramNotConfigured, "The operator has not set [alerts.telegram], or Telegram has not answered yet.")
        }
        let link = try await gateway.alerts.startTelegramLink(account: caller.account, now: now())
        let url = "https://t.me/\(bot)?start=\(link.token)"
        guard let code = QRCode(url) else { throw Problem(.internalError, "Quote the request id to the operator.") }
        let location = "/v1/alerts/telegram-link/\(link.id)"
        guard !(request.headers[.accept] ?? "").contains("image/svg+xml") else {
            return Response(
                status: .created, headers: [.contentType: "image/svg+xml", .location: location],
                body: ResponseBody(byteBuffer: ByteBuffer(string: code.svg)))
        }
        let body = StartedTelegramLinkJSON(
            id: link.id.description, url: url, groupURL: "https://t.me/\(bot)?startgroup=\(link.token)", qrSVG: code.svg, expiresAt: link.expiresAt)
        return JSONResponse.make(body, status: .created, headers: [.location: location])
    }

    /// `GET /v1/alerts/telegram-link/{id}`: which chat has taken it, so that it can be confirmed.
    func getTelegramLink(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .read)
        guard let link = try await gateway.alerts.telegramLink(try identifier(context), account: caller.account, now: now()) else {
            throw Self.noSuchLink
        }
        return JSONResponse.make(TelegramLinkJSON(link))
    }

    /// `POST /v1/alerts/telegram-link/{id}/confirm`: that chat it is. Twice is the same as once.
    func confirmTelegramLink(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .manage)
        _ = try idempotencyKey(request)
        try await JSONBody.readNothing(from: request, limit: maximumBody)
        guard let channel = try await gateway.alerts.confirmTelegramLink(try identifier(context), account: caller.account, now: now()) else {
            throw Self.noSuchLink
        }
        return JSONResponse.make(AlertChannelJSON(channel))
    }

    /// `DELETE /v1/alerts/telegram-link/{id}`: nobody can use it any more.
    func cancelTelegramLink(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .manage)
        guard try await gateway.alerts.cancelTelegramLink(try identifier(context), account: caller.account) else { throw Self.noSuchLink }
        return Response(status: .noContent)
    }

    private func answer(_ channel: AlertChannel?) throws -> Response {
        guard let channel else { throw Self.noSuchChannel }
        return JSONResponse.make(AlertChannelJSON(channel))
    }

    private static var noSuchChannel: Problem { Problem(.notFound, "There is no such channel in this account.") }
    private static var noSuchLink: Problem { Problem(.notFound, "There is no such link in this account, or it has run out.") }
}
