package import Hummingbird
package import HTTPTypes
package import Foundation
import NIOCore

/// Values as JSON responses: snake_case keys are the values' own `CodingKeys`, times are RFC 3339 UTC with milliseconds.
package enum JSONResponse {
    /// The response. A value that cannot be encoded is our own mistake and answers 500 with nothing inside.
    package static func make(_ value: some Encodable, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]) -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        encoder.dateEncodingStrategy = .custom { date, encoder in
            var container = encoder.singleValueContainer()
            try container.encode(Timestamp.text(date))
        }
        guard let data = try? encoder.encode(value) else { return Response(status: .internalServerError) }
        var headers = headers
        headers[.contentType] = "application/json; charset=utf-8"
        headers[.contentLength] = "\(data.count)"
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: data)))
    }
}

/// RFC 3339 in UTC with milliseconds, the one form of time in the API.
package enum Timestamp {
    /// `2026-11-21T08:09:10.123Z`
    package static func text(_ date: Date) -> String {
        date.formatted(.iso8601.year().month().day().timeZone(separator: .omitted).time(includingFractionalSeconds: true))
    }

    /// Any RFC 3339 time, with or without fraction; nil for anything else.
    package static func parse(_ text: String) -> Date? {
        (try? Date(text, strategy: .iso8601.year().month().day().timeZone(separator: .colon).time(includingFractionalSeconds: true)))
            ?? (try? Date(text, strategy: .iso8601.year().month().day().timeZone(separator: .colon).time(includingFractionalSeconds: false)))
    }
}
