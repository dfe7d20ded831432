package import Hummingbird
import Foundation
import NIOCore

/// The body of a request as a value: size, media type, depth, syntax and meaning are checked in this order, each with its own refusal.
package enum JSONBody {
    /// Deepest nesting of a body (design: 16).
    package static let maximumDepth = 16
    /// Bytes beyond the limit that are read and thrown away, so that the client reads our refusal instead of a reset connection.
    private static let drained = 8 * 1_024 * 1_024

    /// Reads at most `limit` bytes. Throws `Problem` (413, 415, 400, 422) and nothing else for what a client can cause.
    package static func read<Value: Decodable>(_ type: Value.Type, from request: Request, limit: Int) async throws -> Value {
        try decode(type, from: try await bytes(of: request, limit: limit))
    }

    /// For requests that take no body: none, or an object without members.
    package static func readNothing(from request: Request, limit: Int) async throws {
        let bytes = try await bytes(of: request, limit: limit)
        if !bytes.isEmpty { _ = try decode(Nothing.self, from: bytes) }
    }

    private struct Nothing: Decodable {
        init(from decoder: any Decoder) throws {
            var fields = try StrictFields(decoder)
            try fields.finish()
        }
    }

    /// The raw body, at most `limit` bytes.
    package static func bytes(of request: Request, limit: Int) async throws -> [UInt8] {
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > limit + drained { throw tooLarge(limit) }
        var bytes: [UInt8] = []
        var count = 0
        do {
            for try await chunk in request.body {
                count += chunk.readableBytes
                if count <= limit { bytes += chunk.readableBytesView }
                if count > limit + drained { break }
            }
        } catch let error as CancellationError {
            throw error
        } catch {
            throw Problem(.invalidJSON, "The body could not be read to its end.", headers: [.connection: "close"])
        }
        guard count <= limit else { throw tooLarge(limit) }
        guard bytes.isEmpty || isJSON(request.headers[.contentType]) else {
            throw Problem(.unsupportedMediaType, "Send Content-Type: application/json.")
        }
        return bytes
    }

    /// A client that names no type is taken at its word that this is JSON.
    private static func isJSON(_ mediaType: String?) -> Bool {
        guard let mediaType else { return true }
        let name = mediaType.split(separator: ";", omittingEmptySubsequences: false).first ?? ""
        return name.trimmingCharacters(in: .whitespaces).lowercased() == "application/json"
    }

    package static func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
        guard !bytes.contains(0), String(validating: bytes, as: UTF8.self) != nil else { throw Problem(.invalidJSON, "The body is not UTF-8.") }
        var reader = JSONReader(bytes, maximumDepth: maximumDepth)
        let json: JSONValue
        do throws(JSONReader.Failure) {
            json = try reader.read()
        } catch {
            if error.isTooDeep { throw Problem(.invalidJSON, "The body is nested deeper than \(maximumDepth) levels.") }
            throw Problem(.invalidJSON, "The body is empty or no valid JSON.")
        }
        var problems = reader.duplicates
        do {
            let value = try JSONValueDecoder(json).decode(type)
            if problems.isEmpty { return value }
        } catch let found as FieldProblems {
            problems += found.fields
        } catch let DecodingError.typeMismatch(_, context) where context.codingPath.isEmpty {
            problems = [notAnObject]
        } catch let DecodingError.valueNotFound(_, context) where context.codingPath.isEmpty {
            problems = [notAnObject]
        } catch {
            throw Problem(.invalidJSON, "The body is empty or no valid JSON.")
        }
        throw Problem(.invalidRequest, "See errors for the fields to correct.", fields: problems)
    }

    private static var notAnObject: Problem.Field { Problem.Field(pointer: "", code: "wrong_type", detail: "must be an object") }

    private static func tooLarge(_ limit: Int) -> Problem {
        Problem(.bodyTooLarge, "The body may have at most \(limit) bytes.", headers: [.connection: "close"])
    }
}
