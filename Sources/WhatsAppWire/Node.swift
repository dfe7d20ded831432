/// A binary node: an XML element in WhatsApp's encoding. A top-level one is a stanza.
///
/// Attributes have no order; they are written in ascending byte order of their keys.
package struct Node: Equatable, Sendable {
    /// Never empty on the wire.
    package var tag: String
    /// A `.string("")` is left out when the node is written: the protocol has no empty attributes.
    package var attributes: [String: AttributeValue]
    package var content: Content

    /// What stands inside a node. Peers may send text as `bytes` or as `text`: read it with `contentBytes` or `contentText`.
    package enum Content: Equatable, Sendable {
        case none
        case nodes([Node])
        case bytes([UInt8])
        /// A string value: a dictionary token or packed digits where they fit.
        case text(String)
        /// An address in content position; rare, and never written by us.
        case jid(JID)
    }

    /// Attributes with nil values are left out; of two with the same key the last one stands.
    package init(_ tag: String, _ attributes: KeyValuePairs<String, AttributeValue?> = [:], content: Content = .none) {
        self.tag = tag
        self.attributes = [:]
        self.attributes.reserveCapacity(attributes.count)
        for (key, value) in attributes {
            if let value { self.attributes[key] = value }
        }
        self.content = content
    }

    package init(_ tag: String, _ attributes: KeyValuePairs<String, AttributeValue?> = [:], children: [Node]) {
        self.init(tag, attributes, content: .nodes(children))
    }

    package init(_ tag: String, _ attributes: KeyValuePairs<String, AttributeValue?> = [:], bytes: [UInt8]) {
        self.init(tag, attributes, content: .bytes(bytes))
    }

    package init(_ tag: String, _ attributes: KeyValuePairs<String, AttributeValue?> = [:], text: String) {
        self.init(tag, attributes, content: .text(text))
    }

    /// With attributes that are already a dictionary, for a node that is computed rather than spelled out.
    package init(tag: String, attributes: [String: AttributeValue], content: Content) {
        self.tag = tag
        self.attributes = attributes
        self.content = content
    }
}

extension Node {
    /// The child nodes; empty when the content is anything else.
    package var children: [Node] {
        if case .nodes(let nodes) = content { nodes } else { [] }
    }

    /// The first child with this tag.
    package func child(_ tag: String) -> Node? { children.first { $0.tag == tag } }

    /// All children with this tag, in their order.
    package func children(_ tag: String) -> [Node] { children.filter { $0.tag == tag } }

    /// The attribute as text, whichever form it has.
    package func string(_ key: String) -> String? { attributes[key]?.text }

    /// The attribute if it was sent as a JID; text with an `@` in it is not one.
    package func jid(_ key: String) -> JID? {
        if case .jid(let jid)? = attributes[key] { jid } else { nil }
    }

    /// The attribute if it is text of decimal digits that fit.
    package func uint(_ key: String) -> UInt64? {
        if case .string(let text)? = attributes[key] { UInt64(digits: text) } else { nil }
    }

    /// The content as bytes: text as its UTF-8; nil when there is none or it is nodes.
    package var contentBytes: [UInt8]? {
        switch content {
        case .bytes(let bytes): bytes
        case .text(let text): Array(text.utf8)
        case .jid(let jid): Array(jid.description.utf8)
        case .none, .nodes: nil
        }
    }

    /// The content as text; nil when there is none, it is nodes, or its bytes are not UTF-8.
    package var contentText: String? {
        switch content {
        case .bytes(let bytes): String(validating: bytes, as: UTF8.self)
        case .text(let text): text
        case .jid(let jid): jid.description
        case .none, .nodes: nil
        }
    }
}
