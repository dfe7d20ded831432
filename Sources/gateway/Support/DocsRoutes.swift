import API
import HTTPTypes
import Hummingbird
import NIOCore
import Web

/// `/openapi.yaml` and the pages under `/docs`, from the binary itself. A browser gets them drawn; who does not ask for HTML, such as curl, gets
/// the text. Nothing on a page comes from elsewhere or runs, and the policy in its header says so.
enum DocsRoutes {
    private static let policy = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

    static func add(to router: Hummingbird.Router<WebContext>) {
        router.path("openapi.yaml", get: { _, _ in try file("openapi.yaml", type: "application/yaml; charset=utf-8") })
        router.path("docs/style.css", get: { _, _ in try file("style.css", type: "text/css; charset=utf-8") })
        router.path("docs", get: { request, _ in try page("index", for: request) })
        router.path("docs/:page", get: { request, context in try page(context.parameters.get("page") ?? "", for: request) })
        router.path(
            "docs/:page/:part",
            get: { request, context in
                try page([context.parameters.get("page"), context.parameters.get("part")].compactMap(\.self).joined(separator: "/"), for: request)
            })
    }

    private static func page(_ name: String, for request: Request) throws -> Response {
        guard let page = EmbeddedDocs.pages[name] else { throw noSuchPage }
        let isDrawn = request.headers[values: .accept].contains { $0.contains("text/html") }
        return response(
            isDrawn ? drawn(page, at: name == "index" ? "/docs" : "/docs/\(name)") : page.text,
            [
                .contentType: isDrawn ? "text/html; charset=utf-8" : "text/markdown; charset=utf-8", .contentSecurityPolicy: policy,
                .vary: "Accept",
            ])
    }

    private static func drawn(_ page: DocsPage, at path: String) -> String {
        EmbeddedDocs.frame.replacing("{title}", with: page.title)
            .replacing("<li><a href=\"\(path)\">", with: "<li><a href=\"\(path)\" aria-current=\"page\">")
            .replacing("{body}", with: page.html)
    }

    private static func file(_ name: String, type: String) throws -> Response {
        guard let text = EmbeddedDocs.files[name] else { throw noSuchPage }
        return response(text, [.contentType: type])
    }

    private static func response(_ text: String, _ headers: HTTPFields) -> Response {
        var headers = headers
        headers[.cacheControl] = "max-age=300"
        return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(string: text + "\n")))
    }

    private static var noSuchPage: Problem { Problem(.notFound, "There is no such page; see /docs.") }
}

/// One page of the docs.
struct DocsPage: Sendable {
    var title: String
    /// Markdown, with the examples in it.
    var text: String
    /// What stands between the page's frame.
    var html: String
}
