/// An API key of Resend's (`re_…`). Redacts itself.
package struct ResendKey: Sendable, CustomStringConvertible, CustomReflectable {
    let text: String

    /// nil: this is none. Spaces and line ends around it are ignored.
    package init?(_ text: String) {
        let text = text.split(whereSeparator: \.isWhitespace)
        guard text.count == 1, let key = text.first, key.hasPrefix("re_"), (8...256).contains(key.utf8.count),
            key.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        else { return nil }
        self.text = String(key)
    }

    package var description: String { "ResendKey(redacted)" }
    package var customMirror: Mirror { Mirror(self, children: ["key": "redacted"]) }
}
