package import Hummingbird
import Foundation
import NIOCore

/// The body of a request as a value: size, media type, depth, syntax and meaning are checked in this order, each with its own refusal.
package enum JSONBody {
    /// Deepest nesting of a body (design: 16).
    package static let maximumDepth = 16

    /// Reads at most `limit` bytes. Throws `Problem` (413, 415, 400, 422) and nothing else for what a client can cause.
    package static func read<Value: Decodable>(_ type: Value.Type, from request: Request, limit: Int) async throws -> Value {
        let bytes = try await self.bytes(of: request, limit: limit)
        return try decode(type, from: bytes)
    }

    /// The raw body, at most `limit` bytes.
    package static func bytes(of request: Request, limit: Int) async throws -> [UInt8] {
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > limit { throw tooLarge(limit) }
        if let mediaType = request.headers[.contentType], !mediaType.lowercased().hasPrefix("application/json") {
            throw Problem(.unsupportedMediaType, "Send Content-Type: application/json.")
        }
        do {
            let buffer = try await request.body.collect(upTo: limit)
            return Array(buffer.readableBytesView)
        } catch is NIOTooManyBytesError {
            throw tooLarge(limit)
        }
    }

    package static func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
        guard depth(of: bytes) <= maximumDepth else { throw Problem(.invalidJSON, "The body is nested deeper than \(maximumDepth) levels.") }
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch let problems as FieldProblems {
            throw Problem(.invalidRequest, "See errors for the fields to correct.", fields: problems.fields)
        } catch let DecodingError.typeMismatch(_, context) where context.codingPath.isEmpty {
            throw Problem(
                .invalidRequest, "The body must be a JSON object.",
                fields: [Problem.Field(pointer: "", code: "wrong_type", detail: "must be an object")])
        } catch {
            throw Problem(.invalidJSON, "The body is empty or no valid JSON.")
        }
    }

    /// How deep brackets nest, outside of strings; counted before parsing so that no parser recurses on it.
    private static func depth(of bytes: [UInt8]) -> Int {
        var depth = 0
        var deepest = 0
        var inString = false
        var escaped = false
        for byte in bytes {
            if inString {
                if escaped {
                    escaped = false
                } else if byte == UInt8(ascii: "\\") {
                    escaped = true
                } else if byte == UInt8(ascii: "\"") {
                    inString = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): inString = true
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                deepest = max(deepest, depth)
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            default: break
            }
        }
        return deepest
    }

    private static func tooLarge(_ limit: Int) -> Problem {
        Problem(.bodyTooLarge, "The body may have at most \(limit) bytes.", headers: [.connection: "close"])
    }
}
