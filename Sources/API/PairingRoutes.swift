import Domain
import Foundation
import Hummingbird
import NIOCore
import ServiceLifecycle
import Web

extension Routes {
    /// `POST /v1/senders/{id}/pairing`: asks the node that holds the sender for a QR code.
    func startPairing(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        // By nature the same twice: a pairing under way is renewed.
        _ = try idempotencyKey(request)
        try await JSONBody.readNothing(from: request, limit: maximumBody)
        let sender = try await sender(context, caller)
        guard try await gateway.pairing.request(sender: sender.id, account: caller.account, now: now()) != nil else {
            throw Problem(.alreadyPaired, "The sender is linked and in use: remove it first, or create another one.")
        }
        return JSONResponse.make(try await pairing(of: sender.id, caller), status: .accepted)
    }

    /// `GET /v1/senders/{id}/pairing`: as JSON, as SVG, or as server-sent events until it is over.
    func getPairing(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        let sender = try await sender(context, caller).id
        let current = try await pairing(of: sender, caller)
        let accept = request.headers[.accept] ?? ""
        if accept.contains("text/event-stream") { return stream(of: sender, caller) }
        guard accept.contains("image/svg+xml") else { return JSONResponse.make(current) }
        guard let text = current.qr, let code = QRCode(text) else { throw Problem(.notFound, "No QR code is offered at the moment.") }
        return Response(
            status: .ok, headers: [.contentType: "image/svg+xml", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: code.svg)))
    }

    /// One event at each change, and a comment every 15 seconds that finds out whether the client is still there. Ends when the sender is
    /// paired, the pairing is over, the gateway stops, or after ten minutes.
    private func stream(of sender: Sender.ID, _ caller: Caller) -> Response {
        let body = ResponseBody { writer in
            var shown: PairingJSON?
            let clock = ContinuousClock()
            let end = clock.now.advanced(by: .seconds(600))
            var written = clock.now
            while clock.now < end, !Task.isShuttingDownGracefully {
                let current = try await pairing(of: sender, caller)
                if current != shown {
                    shown = current
                    var event = ByteBuffer(string: "event: pairing\ndata: ")
                    event.writeBytes(try JSONResponse.bytes(current))
                    event.writeString("\n\n")
                    try await writer.write(event)
                    written = clock.now
                } else if written.duration(to: clock.now) > .seconds(15) {
                    try await writer.write(ByteBuffer(string: ": waiting\n\n"))
                    written = clock.now
                }
                if current.isOver { break }
                try await clock.sleep(for: .milliseconds(500))
            }
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"], body: body)
    }

    /// The pairing is read before its sender: success removes the one and marks the other in one transaction, so this never sees neither.
    private func pairing(of sender: Sender.ID, _ caller: Caller) async throws -> PairingJSON {
        let pairing = try await gateway.pairing.current(sender: sender, account: caller.account, now: now())
        guard let row = try await gateway.senders.get(sender, account: caller.account) else { return PairingJSON(removed: sender) }
        return PairingJSON(row, pairing)
    }
}
