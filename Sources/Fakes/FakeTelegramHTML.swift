/// Reads HTML as Telegram does: a few tags, properly nested, and everything else escaped. (core.telegram.org/bots/api#html-style)
package enum FakeTelegramHTML {
    private static let tags: Set<String> = [
        "b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "code", "pre", "a", "blockquote", "tg-spoiler", "span",
    ]
    private static let entities = ["lt": "<", "gt": ">", "amp": "&", "quot": "\""]

    /// The text without its tags; nil: it cannot be parsed.
    package static func plain(_ html: String) -> String? {
        var plain = ""
        var open: [String] = []
        var rest = Substring(html)
        while let character = rest.first {
            switch character {
            case "<":
                guard let end = rest.firstIndex(of: ">") else { return nil }
                let inside = rest[rest.index(after: rest.startIndex)..<end]
                rest = rest[rest.index(after: end)...]
                if inside.hasPrefix("/") {
                    guard open.popLast() == String(inside.dropFirst()) else { return nil }
                } else {
                    let name = String(inside.prefix { $0 != " " })
                    guard tags.contains(name) else { return nil }
                    if name == "a", inside.wholeMatch(of: /a href="[^"<>]+"/) == nil { return nil }
                    open.append(name)
                }
            case "&":
                guard let end = rest.firstIndex(of: ";"), let text = decoded(rest[rest.index(after: rest.startIndex)..<end]) else { return nil }
                plain += text
                rest = rest[rest.index(after: end)...]
            case ">": return nil
            default:
                plain.append(character)
                rest = rest.dropFirst()
            }
        }
        return open.isEmpty ? plain : nil
    }

    private static func decoded(_ name: Substring) -> String? {
        if let text = entities[String(name)] { return text }
        guard name.hasPrefix("#"), let number = UInt32(name.dropFirst()), let scalar = Unicode.Scalar(number) else { return nil }
        return String(Character(scalar))
    }
}
