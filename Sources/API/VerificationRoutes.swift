import Domain
import HTTPTypes
import Hummingbird
import NIOCore
import Web

extension Routes {
    /// `/verify-email`, where the link in a verification leads. Asking for the page changes nothing: mail scanners follow links, people press buttons.
    /// The token is a secret: neither page is cached, and nothing on them tells another site where somebody came from.
    func addVerificationRoutes(to router: Hummingbird.Router<WebContext>) {
        router.path("verify-email", get: showVerification, post: takeVerification)
    }

    private func showVerification(_ request: Request, _ context: WebContext) async throws -> Response {
        let tokens = request.uri.queryParameters[values: "token"].map(String.init)
        guard tokens.count == 1, let token = tokens.first, Self.isToken(token) else { return Self.gone }
        return Self.page(
            "Confirm this address",
            """
            <p>Somebody wants alerts of a WhatsApp gateway to be sent to this address. If that was you:</p>
            <form method="post" action="/verify-email"><input type="hidden" name="token" value="\(token)"><button>Send alerts to this address</button></form>
            <p>If it was not, close this page; nothing more is sent.</p>
            """)
    }

    private func takeVerification(_ request: Request, _ context: WebContext) async throws -> Response {
        let prefix = "token="
        var bytes: [UInt8] = []
        // A form with one field; whatever is longer is none of ours.
        for try await chunk in request.body where bytes.count <= 128 { bytes += chunk.readableBytesView }
        let form = String(decoding: bytes, as: UTF8.self)
        guard form.hasPrefix(prefix), Self.isToken(String(form.dropFirst(prefix.count))),
            try await gateway.alerts.verifyEmail(token: String(form.dropFirst(prefix.count)), now: now()) != nil
        else { return Self.gone }
        return Self.page("The address is confirmed", "<p>Alerts go to this address from now on. Each of them says how to change that.</p>")
    }

    /// base64url of 32 bytes: nothing in it means anything in HTML.
    private static func isToken(_ text: String) -> Bool {
        text.utf8.count == 43
            && text.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x2D || $0 == 0x5F
            }
    }

    private static var gone: Response {
        page("This link does not work any more", "<p>It was used, or is older than two days. Ask for another one.</p>", status: .notFound)
    }

    private static func page(_ title: String, _ body: String, status: HTTPResponse.Status = .ok) -> Response {
        let text = """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>\(title)</title></head>
            <body><main><h1>\(title)</h1>
            \(body)
            </main></body></html>

            """
        let headers: HTTPFields = [
            .contentType: "text/html; charset=utf-8", .cacheControl: "no-store", .referrerPolicy: "no-referrer",
            .contentSecurityPolicy: "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ]
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}

extension HTTPField.Name {
    // A constant name; the fallback is never taken because it is a valid token (RFC 9110 §5.6.2).
    static let referrerPolicy = HTTPField.Name("Referrer-Policy") ?? .date
}
