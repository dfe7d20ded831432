package import Hummingbird
package import HTTPTypes
import NIOCore

/// Values as JSON responses: snake_case keys are the values' own `CodingKeys`, times are RFC 3339 UTC with milliseconds.
package enum JSONResponse {
    /// The JSON text as every answer writes it.
    package static func bytes(_ value: some Encodable) throws -> [UInt8] { try JSONText.bytes(value) }

    /// The response. A value that cannot be encoded is our own mistake and answers 500 with nothing inside.
    package static func make(_ value: some Encodable, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]) -> Response {
        guard let text = try? JSONText.bytes(value) else { return Response(status: .internalServerError) }
        var headers = headers
        headers[.contentType] = "application/json; charset=utf-8"
        headers[.contentLength] = "\(text.count)"
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: text)))
    }
}
