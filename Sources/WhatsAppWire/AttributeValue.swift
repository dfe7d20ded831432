/// The value of an attribute. JIDs have a form of their own on the wire, so they are typed; everything else is text
/// (numbers in decimal, booleans as `true` and `false`).
package enum AttributeValue: Hashable, Sendable {
    case string(String)
    case jid(JID)

    /// The text form of either.
    package var text: String {
        switch self {
        case .string(let text): text
        case .jid(let jid): jid.description
        }
    }

    /// A number in decimal.
    package static func number(_ value: some FixedWidthInteger) -> AttributeValue { .string(String(value)) }
}

extension AttributeValue: ExpressibleByStringLiteral {
    package init(stringLiteral text: String) { self = .string(text) }
}
