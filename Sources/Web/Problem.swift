package import Hummingbird
package import HTTPTypes
import Foundation

/// A refusal in the shape of RFC 9457 (`application/problem+json`), the only form in which the API says no.
package struct Problem: Error, Sendable, Equatable {
    /// One wrong place in the request's body; `pointer` is a JSON pointer (RFC 6901).
    package struct Field: Sendable, Equatable, Encodable {
        package var pointer: String
        package var code: String
        package var detail: String

        package init(pointer: String, code: String, detail: String) {
            self.pointer = pointer
            self.code = code
            self.detail = detail
        }
    }

    /// Places named in one answer; a body of nothing but mistakes does not make an answer larger than itself.
    private static let maximumFields = 50

    package var status: HTTPResponse.Status
    /// Stable; each has a page under `/docs/errors/`.
    package var code: ProblemCode
    /// What happened and what to do, for the developer who called. Never a body, a number or a key.
    package var detail: String
    package var fields: [Field]
    package var headers: HTTPFields
    /// Which limit refused the request, as the RateLimit fields name it.
    package var limit: String?
    /// The state that stands in the way.
    package var state: String?

    package init(_ code: ProblemCode, _ detail: String, fields: [Field] = [], headers: HTTPFields = [:]) {
        self.status = code.status
        self.code = code
        self.detail = detail
        self.fields = fields
        self.headers = headers
    }

    /// The same refusal with `Retry-After`.
    package static func retryable(_ code: ProblemCode, _ detail: String, after seconds: Int) -> Problem {
        Problem(code, detail, headers: [.retryAfter: "\(seconds)"])
    }

    /// 429 that names the limit and when to come again.
    package static func limited(_ detail: String, limit: String, after seconds: Int) -> Problem {
        var problem = retryable(.tooManyRequests, detail, after: seconds)
        problem.limit = limit
        return problem
    }

    /// 409 that names the state in the way.
    package static func conflict(_ code: ProblemCode, _ detail: String, state: String) -> Problem {
        var problem = Problem(code, detail)
        problem.state = state
        return problem
    }
}

extension Problem {
    /// The JSON document (schema `Problem` of openapi.yaml).
    package struct Document: Encodable, Sendable {
        var type: String
        var title: String
        var status: Int
        var code: String
        var detail: String
        var limit: String?
        var state: String?
        var requestID: String
        var errors: [Field]?

        enum CodingKeys: String, CodingKey {
            case type, title, status, code, detail, limit, state, errors
            case requestID = "request_id"
        }
    }

    package func document(requestID: String) -> Document {
        Document(
            type: "/docs/errors/\(code.rawValue)", title: code.title, status: status.code, code: code.rawValue, detail: detail, limit: limit,
            state: state, requestID: requestID, errors: fields.isEmpty ? nil : Array(fields.prefix(Self.maximumFields)))
    }

    /// The response that says this, carrying the request's id.
    package func response(requestID: String) -> Response {
        var response = JSONResponse.make(document(requestID: requestID), status: status)
        response.headers[.contentType] = "application/problem+json; charset=utf-8"
        for header in headers { response.headers[header.name] = header.value }
        return response
    }
}
