import Domain
import Foundation
import Hummingbird
import NIOCore
import Web

extension Routes {
    /// `POST /v1/senders/{id}/pairing`: asks the node that holds the sender for a QR code.
    func startPairing(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        let sender = try await sender(context, caller)
        guard sender.pairedAt == nil || sender.state == .loggedOut else {
            throw Problem(.alreadyPaired, "Remove the sender first, or create another one.")
        }
        guard try await gateway.pairing.request(sender: sender.id, account: caller.account, now: now()) != nil else {
            throw Problem(.alreadyPaired, "The sender cannot be paired in its present state.")
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

    /// One event at each change; ends when the sender is paired, the pairing is over, or after ten minutes.
    private func stream(of sender: Sender.ID, _ caller: Caller) -> Response {
        let body = ResponseBody { writer in
            var shown: PairingJSON?
            let clock = ContinuousClock()
            let end = clock.now.advanced(by: .seconds(600))
            while clock.now < end {
                let current = try await pairing(of: sender, caller)
                if current != shown {
                    shown = current
                    var response = ByteBuffer(string: "event: pairing\ndata: ")
                    response.writeBytes(try PairingJSON.encoder.encode(current))
                    response.writeString("\n\n")
                    try await writer.write(response)
                }
                if current.isOver { break }
                try await clock.sleep(for: .milliseconds(500))
            }
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"], body: body)
    }

    private func pairing(of sender: Sender.ID, _ caller: Caller) async throws -> PairingJSON {
        guard let row = try await gateway.senders.get(sender, account: caller.account) else {
            throw Self.noSuchSender
        }
        return PairingJSON(row, try await gateway.pairing.current(sender: sender, account: caller.account, now: now()))
    }
}

/// A pairing as callers see it (schema `Pairing` of openapi.yaml).
struct PairingJSON: Encodable, Equatable {
    /// Times in the one form of the API.
    static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        return encoder
    }

    var sender: String
    /// waiting: no code yet. showing: a code to scan. paired. ended: not paired, and nothing is offered any more.
    var state: String
    var qr: String?
    var expiresAt: String?
    var reason: String?

    enum CodingKeys: String, CodingKey {
        case sender, state, qr, reason
        case expiresAt = "expires_at"
    }

    var isOver: Bool { state == "paired" || state == "ended" }

    init(_ sender: Sender, _ pairing: Pairing?) {
        self.sender = sender.id.description
        if sender.pairedAt != nil && sender.state != .loggedOut && sender.state != .pairing {
            state = "paired"
        } else if let pairing {
            state = pairing.code == nil ? "waiting" : "showing"
            qr = pairing.code?.text
            expiresAt = Timestamp.text(pairing.code?.validUntil ?? pairing.expiresAt)
        } else {
            state = "ended"
            reason = sender.stateCode ?? "not_requested"
        }
    }
}
