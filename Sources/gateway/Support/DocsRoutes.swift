import API
import Hummingbird
import NIOCore
import Web

/// `/openapi.yaml` and the pages under `/docs`, from the binary itself.
enum DocsRoutes {
    static func add(to router: Hummingbird.Router<WebContext>) {
        router.path("openapi.yaml", get: { _, _ in try page("openapi.yaml", type: "application/yaml; charset=utf-8") })
        router.path("docs", get: { _, _ in try page("index.md") })
        router.path("docs/:page", get: { _, context in try page((context.parameters.get("page") ?? "") + ".md") })
        router.path("docs/errors/:code", get: { _, context in try page("errors/" + (context.parameters.get("code") ?? "") + ".md") })
    }

    private static func page(_ name: String, type: String = "text/markdown; charset=utf-8") throws -> Response {
        guard let text = EmbeddedDocs.pages[name] else { throw Problem(.notFound, "There is no such page; see /docs.") }
        return Response(
            status: .ok, headers: [.contentType: type, .cacheControl: "max-age=300"], body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}
