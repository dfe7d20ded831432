/// Ids stand in JSON as their text.
extension TypedID: Codable {
    package init(from decoder: any Decoder) throws { try self.init(text: decoder.singleValueContainer().decode(String.self)) }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
