/// One e-mail to one person, in text and HTML. (resend.com/docs/api-reference/emails/send-email)
package struct Email: Sendable, Hashable, Encodable {
    /// `Name <address>`, of a domain that the operator verified at Resend.
    package let from: String
    package let to: String
    package let subject: String
    package let text: String
    package let html: String

    enum CodingKeys: String, CodingKey { case from, to, subject, text, html }

    package init(from: String, to: String, subject: String, text: String, html: String) {
        self.from = from
        self.to = to
        // One line, whatever the texts in it hold.
        self.subject = String(subject.map { $0.isNewline ? " " : $0 }.prefix(200))
        self.text = text
        self.html = html
    }

    package func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encode(from, forKey: .from)
        try fields.encode([to], forKey: .to)
        try fields.encode(subject, forKey: .subject)
        try fields.encode(text, forKey: .text)
        try fields.encode(html, forKey: .html)
    }
}
