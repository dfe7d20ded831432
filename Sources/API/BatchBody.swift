import Domain
import Foundation
import Web

/// The body of `POST /v1/messages/batch`. Every item is read by itself: what is wrong with one refuses that one only.
struct BatchBody: Decodable, Sendable {
    static let maximumItems = Messages.batchLimit
    /// Most characters of its idempotency key; `#` and the number of an item follow.
    static let maximumKey = 250

    /// Empty when there are more than `maximumItems`.
    let messages: [Item]
    private let count: Int

    struct Item: Decodable, Sendable {
        /// What is wrong names its place in the whole body, such as `/messages/3/to`.
        let body: Result<SendMessageBody, FieldProblems>

        init(from decoder: any Decoder) throws {
            do {
                body = .success(try SendMessageBody(from: decoder))
            } catch let problems as FieldProblems {
                body = .failure(problems)
            } catch DecodingError.typeMismatch, DecodingError.valueNotFound {
                let index = decoder.codingPath.last?.intValue ?? 0
                body = .failure(FieldProblems(fields: [.init(pointer: "/messages/\(index)", code: "wrong_type", detail: "must be an object")]))
            }
        }
    }

    /// Counts before it reads, so that a list that is too long costs nothing.
    private struct Items: Decodable, JSONArray {
        var items: [Item] = []
        var count: Int

        init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            count = container.count ?? 0
            guard count <= BatchBody.maximumItems else { return }
            items.reserveCapacity(count)
            while !container.isAtEnd { items.append(try container.decode(Item.self)) }
        }
    }

    init(from decoder: any Decoder) throws {
        var fields = try StrictFields(decoder)
        let list: Items? = fields.required("messages")
        messages = list?.items ?? []
        count = list?.count ?? 0
        if count == 0, list != nil { fields.note("messages", "empty", "has 1 to \(Self.maximumItems) messages") }
        try fields.finish()
    }

    /// Throws `too_many_items` for more than `maximumItems`.
    func checkCount() throws(Problem) {
        guard count > Self.maximumItems else { return }
        throw Problem(
            .tooManyItems, "A batch has at most \(Self.maximumItems) messages; this one has \(count).",
            fields: [.init(pointer: "/messages", code: "too_many", detail: "has more than \(Self.maximumItems) items")])
    }
}
